//! A token that SIGTERM stops. Alone in its program, because a signal is for all of it.
#![cfg(feature = "signals")]

use std::process::Command;
use std::time::Duration;

use hybridrt::StopToken;

#[test]
fn sigterm_stops_the_token_and_not_the_process() {
    let token = StopToken::on_signals().unwrap();
    assert!(!token.is_stopped());
    // The shell's parent is this process.
    let killed = Command::new("sh")
        .args(["-c", "kill -TERM $PPID"])
        .status()
        .unwrap();
    assert!(killed.success());
    assert!(token.wait(Duration::from_secs(20)));
}
