//! A test that is written once, over `ws://` and over `wss://`.

/// Makes tests of functions that take a `Transport`: `name::over_ws` and `name::over_wss`. They run in a runtime with
/// one thread, or in one of the named flavor.
///
/// The module that uses the macro has its `Transport` in scope, and its crate has a feature `tls`.
#[macro_export]
macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        $crate::over_both!("current_thread": $($name),+);
    };
    ($flavor:tt: $($name:ident),+ $(,)?) => {$(
        mod $name {
            use super::Transport;

            #[tokio::test(flavor = $flavor)]
            async fn over_ws() {
                super::$name(Transport::ws()).await;
            }

            #[cfg(feature = "tls")]
            #[tokio::test(flavor = $flavor)]
            async fn over_wss() {
                super::$name(Transport::wss()).await;
            }
        }
    )+};
}
