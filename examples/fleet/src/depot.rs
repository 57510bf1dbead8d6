//! The server's side: devices are in groups, and operators use the groups.

use std::{future::ready, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use rpc_server::{
    CallOptions, Context, Group, Groups, LeaveReason, Member, PresenceChange, Server, ServerBuilder, SessionGroups,
    Status, Streaming,
};

use crate::contract::{Card, Change, Control, DeviceClient, Fleet, OperatorClient, Report};

/// How long a command may take, also if the device loses its link meanwhile.
const COMMAND: Duration = Duration::from_secs(30);

/// Knows the devices by their groups. The note of each member is its card.
#[derive(Clone, Debug)]
pub struct Depot {
    groups: Groups,
}

impl Depot {
    /// A server for devices and operators. A device that loses its link stays in its groups for a minute.
    pub fn server() -> ServerBuilder {
        let builder = Server::builder().resume_anonymous(true);
        let depot = Self { groups: builder.groups() };
        builder.service(Fleet::serve(depot.clone())).service(Control::serve(depot))
    }

    fn group(&self, name: impl Into<Arc<str>>) -> Group<DeviceClient> {
        self.groups.get(name)
    }
}

impl Fleet for Depot {
    async fn enroll(&self, cx: &Context<DeviceClient>, card: Card) -> Result<(), Status> {
        // A device that was switched off without a goodbye may still be here, in a session without a link.
        let twins = self.group("all").members().into_iter().filter(|twin| name(twin) == card.name);
        for twin in twins.filter(|twin| twin.id() != cx.session_id()) {
            for group in twin.session().groups() {
                self.group(group.name()).leave(twin.session());
            }
            drop(twin.session().close());
        }
        for group in ["all".to_owned(), format!("site/{}", card.site), format!("model/{}", card.model)] {
            self.group(group).join_with(&cx.session(), card.clone())?;
        }
        Ok(())
    }
}

impl Control for Depot {
    async fn run(&self, cx: &Context<OperatorClient>, group: &str, command: &str) -> Result<Streaming<Report>, Status> {
        let devices = self.group(group).members();
        let question = format!("Run {command:?} on the devices of {group}, {} in all?", devices.len());
        if !cx.peer().confirm(&question).await? {
            return Err(Status::cancelled("the operator does not want it"));
        }
        let asked = Report::Asked(devices.iter().map(name).collect());
        // A device that has left meanwhile does not answer, nor does one that has come.
        let answers = self.group(group).only(devices.iter().map(Member::id));
        let answers = answers.with(CallOptions::new().timeout(COMMAND)).run(command);
        let reports = answers.map(|(device, answer)| match answer {
            Ok(text) => Report::Answered(name(&device), text),
            Err(error) => Report::Failed(name(&device), error.to_string()),
        });
        Ok(Streaming::new(stream::iter([asked]).chain(reports)))
    }

    async fn watch(&self, _: &Context<OperatorClient>, group: &str) -> Streaming<Change> {
        Streaming::new(self.group(group).presence().filter_map(|change| ready(seen(change))))
    }
}

fn name(device: &Member) -> String {
    device.note::<Card>().map_or_else(|| device.id().to_string(), |card| card.name.clone())
}

/// What an operator sees of a change.
fn seen(change: PresenceChange) -> Option<Change> {
    Some(match change {
        PresenceChange::Sync { members, detached, .. } => {
            Change::Present(members.iter().map(|member| (name(member), detached.contains(&member.id()))).collect())
        }
        PresenceChange::Count { members, .. } => Change::Crowd(members),
        PresenceChange::Joined { member, .. } => Change::Came(name(&member)),
        PresenceChange::Detached { member, .. } => Change::Away(name(&member)),
        PresenceChange::Resumed { member, .. } => Change::Back(name(&member)),
        PresenceChange::Left { member, reason: LeaveReason::Ended(why), .. } => {
            Change::Gone(name(&member), why.to_string())
        }
        PresenceChange::Left { member, .. } => Change::Gone(name(&member), "it is switched on again".to_owned()),
        _ => return None,
    })
}
