//! Waits for the end of a job: `watch 42`.

use std::time::Duration;

use hybridrt::{BoxError, Client, Ended};

fn main() -> Result<(), BoxError> {
    let id = std::env::args().nth(1).ok_or("usage: watch JOB")?.parse()?;
    match Client::connect()?.job(id).wait(Duration::from_secs(60))? {
        Ended::Completed(result) => println!("result: {}", String::from_utf8_lossy(&result)),
        other => println!("{other:?}"),
    }
    Ok(())
}
