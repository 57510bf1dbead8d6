struct Hooks;

impl rpc_core::SessionHooks for Hooks {
    async fn opened(&self, session: &rpc_core::Session) -> Result<(), rpc_core::Status> {
        let _ = session;
        Ok(())
    }
}

fn main() {}
