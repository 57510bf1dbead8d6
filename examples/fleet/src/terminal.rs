//! The operator's side: a terminal that shows who is there, and what comes of a command.

use std::{collections::BTreeSet, fmt, time::Duration};

use rpc_client::Status;
use tokio::time::timeout;

use crate::contract::{ControlClient, Operator, Report};

/// After this time without news, the operator sees who has not answered yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// An operator's terminal, which agrees to everything.
#[derive(Debug)]
pub struct Terminal<F> {
    /// What shows the questions.
    pub show: F,
}

impl<F: Fn(&str) + Send + Sync + 'static> Operator for Terminal<F> {
    async fn confirm(&self, question: &str) -> bool {
        (self.show)(&format!("{question} yes"));
        true
    }
}

/// What the operator sees of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A device has run it, and says this.
    Answered(String, String),
    /// A device has not, for this reason.
    Failed(String, String),
    /// These have not answered yet.
    Waiting(Vec<String>),
    /// The end: how many have answered, and how many have not.
    Over(usize, usize),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(name, text) => write!(f, "{name}: {text}"),
            Self::Failed(name, why) => write!(f, "{name} failed: {why}"),
            Self::Waiting(names) => write!(f, "… still waiting for {}", names.join(", ")),
            Self::Over(answered, failed) => write!(f, "{answered} answered, {failed} failed"),
        }
    }
}

/// Runs a command on a group, and shows what comes of it.
pub async fn run(
    control: &ControlClient,
    group: &str,
    command: &str,
    mut show: impl FnMut(Line),
) -> Result<(), Status> {
    let mut reports = control.run(group, command).await?;
    let (mut waiting, mut shown) = (BTreeSet::new(), BTreeSet::new());
    let (mut answered, mut failed) = (0, 0);
    loop {
        match timeout(PATIENCE, reports.next()).await {
            Ok(None) => break,
            Ok(Some(report)) => match report? {
                Report::Asked(devices) => waiting = devices.into_iter().collect(),
                Report::Answered(name, text) => {
                    answered += 1;
                    waiting.remove(&name);
                    show(Line::Answered(name, text));
                }
                Report::Failed(name, why) => {
                    failed += 1;
                    waiting.remove(&name);
                    show(Line::Failed(name, why));
                }
            },
            Err(_) if waiting != shown => {
                shown.clone_from(&waiting);
                show(Line::Waiting(waiting.iter().cloned().collect()));
            }
            Err(_) => {}
        }
    }
    for name in waiting {
        failed += 1;
        show(Line::Failed(name, "it has left before it was asked".to_owned()));
    }
    show(Line::Over(answered, failed));
    Ok(())
}

/// Shows who is in a group, until the server has ended.
pub async fn watch(control: &ControlClient, group: &str, mut show: impl FnMut(String)) -> Result<(), Status> {
    let mut changes = control.watch(group).await?;
    while let Some(change) = changes.next().await {
        show(change?.to_string());
    }
    Ok(())
}
