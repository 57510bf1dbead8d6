#[rpc_core::callback(group)]
trait Screen {
    #[rpc(oneway)]
    fn show(&self, text: &str);
    async fn confirm(&mut self, question: &str) -> bool;
    async fn with(&self, pages: u32) -> Result<u32, String>;
    #[rpc(oneway)]
    async fn clear(&self);
}

// Code that uses the methods causes no further errors.
fn call(screens: &ScreenGroup) -> (rpc_core::Broadcast, rpc_core::Answers<bool, rpc_core::Status>) {
    let _ = screens.with(5);
    (screens.show("text"), screens.confirm("Sure?"))
}

fn main() {}
