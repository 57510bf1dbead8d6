//! The demo: an operator and four devices over real WebSockets, one of them at a bad cable.

use std::{error::Error, future::pending, io::Write, sync::Arc};

use cable::Cable;
use rpc_client::{Client, Connect, Stub};
use tokio::sync::{Notify, watch};

use crate::{
    contract::{Card, ControlClient, Device, Operator, Refusal},
    depot::Depot,
    device::enroll,
    terminal::{Line, Terminal, run},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The names of the devices that have yet to answer, in the order in which they do.
type Order = watch::Sender<Vec<&'static str>>;

/// A device that plays its part, when it has its turn.
struct Actor {
    name: &'static str,
    order: watch::Receiver<Vec<&'static str>>,
    /// Switches the valve off.
    switch: Arc<Notify>,
}

impl Device for Actor {
    async fn run(&self, command: &str) -> Result<String, Refusal> {
        // This fails if the demo is over.
        let _ = self.order.clone().wait_for(|order| order.first() == Some(&self.name)).await;
        match (command, self.name) {
            ("flush", "pump-2") => Err(Refusal("the pressure is too high".to_owned())),
            ("flush", "valve-1") => {
                self.switch.notify_one();
                pending().await
            }
            ("flush", _) => Ok("flushed".to_owned()),
            _ => Ok("well".to_owned()),
        }
    }
}

/// Runs the demo and writes what the operator sees.
pub async fn demo(out: &mut (impl Write + Send)) -> Outcome {
    let server = Depot::server().listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", server.local_addr());
    let (order, switch) = (Order::default(), Arc::<Notify>::default());
    let cable = Cable::new(server.local_addr()).await?;

    writeln!(out, "An operator watches the northern site.")?;
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let terminal = Terminal { show: move |question: &str| drop(asked.send(question.to_owned())) };
    let control = ControlClient::connect(&url).callback(terminal.serve()).await?;
    let mut changes = control.watch("site/north").await?;
    let mut change = async |out: &mut (dyn Write + Send)| -> Outcome {
        writeln!(out, "  {}", changes.next().await.ok_or("the server has ended")??)?;
        Ok(())
    };
    change(out).await?;

    let far = format!("ws://{}/", cable.addr());
    let mut devices = Vec::new();
    for (name, site, model, url) in [
        ("pump-1", "north", "P3", &url),
        ("pump-2", "north", "P3", &far),
        ("valve-1", "north", "V1", &url),
        ("pump-3", "south", "P3", &url),
    ] {
        let card = Card { name: name.to_owned(), site: site.to_owned(), model: model.to_owned() };
        let actor = Actor { name, order: order.subscribe(), switch: Arc::clone(&switch) };
        devices.push(enroll(url, card, actor).await?);
        if site == "north" {
            change(out).await?;
        }
    }

    let mut command = async |out: &mut (dyn Write + Send), group: &str, command: &str, turns: &[&'static str]| {
        writeln!(out, "\nThe operator runs {command:?} on {group}.")?;
        order.send_replace(turns.to_vec());
        run(&control, group, command, |line| {
            while let Ok(question) = questions.try_recv() {
                let _ = writeln!(out, "  {question}");
            }
            let _ = writeln!(out, "  {line}");
            match &line {
                Line::Answered(..) | Line::Failed(..) => order.send_modify(|order| _ = order.remove(0)),
                Line::Waiting(names) if names == &["pump-2"] => cable.plug_in(),
                _ => {}
            }
        })
        .await?;
        Outcome::Ok(())
    };

    writeln!(out, "\nThe cable of pump-2 is pulled.")?;
    cable.pull();
    change(out).await?;
    // The cable is plugged in again as soon as the operator sees that only this device is missing.
    command(out, "site/north", "status", &["pump-1", "valve-1", "pump-2"]).await?;
    change(out).await?;

    let valve = devices.remove(2);
    let switched_off = async {
        switch.notified().await;
        valve.close().await;
    };
    let flush = command(out, "site/north", "flush", &["pump-1", "valve-1", "pump-2"]);
    tokio::join!(flush, switched_off).0?;
    change(out).await?;

    command(out, "model/P3", "status", &["pump-1", "pump-2", "pump-3"]).await?;

    control.session().close().await;
    for device in devices {
        Client::close(&device).await;
    }
    server.shutdown().await;
    Ok(())
}
