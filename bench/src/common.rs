//! What the programs here have in common: processes of their own, one worker thread each, on cores of their own.

pub mod bare;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

/// What can go wrong ends the program.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs `work` as a task of a runtime with one worker thread, pinned to `core` if the machine has that core.
pub fn worker(core: usize, work: impl Future<Output = Outcome<()>> + Send + 'static) -> Outcome<()> {
    let core = core_affinity::get_core_ids().and_then(|cores| cores.get(core).copied());
    let pin = move || {
        if let Some(core) = core {
            core_affinity::set_for_current(core);
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).on_thread_start(pin).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(work).await? })
}

/// A server in a process of its own.
pub struct Server {
    child: Child,
    addr: String,
}

impl Server {
    /// Starts this program with these arguments, and waits until it says where it listens.
    pub fn start(args: &[&str]) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?).args(args).stdout(Stdio::piped()).spawn()?;
        let mut addr = String::new();
        BufReader::new(child.stdout.take().ok_or("the server has no output")?).read_line(&mut addr)?;
        Ok(Self { child, addr: addr.trim().to_owned() })
    }

    /// Where it listens.
    pub fn addr(&self) -> &str {
        &self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs this program with these arguments, and gives what it prints.
pub fn measure(args: &[&str]) -> Outcome<String> {
    let output = Command::new(std::env::current_exe()?).args(args).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{args:?} failed").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Tells the parent where the server listens.
pub fn announce(addr: std::net::SocketAddr) -> Outcome<()> {
    println!("{addr}");
    std::io::stdout().flush()?;
    Ok(())
}
