//! Works on the jobs of the other examples until the runtime drains.

use hybridrt::{Error, NonRetryable, Outcome, Worker};

fn main() -> Result<(), Error> {
    Worker::builder()
        .concurrency(2)
        .handle("image.resize", |job, _ctx| {
            let path = std::str::from_utf8(job.payload()).map_err(NonRetryable::new)?;
            println!("resizing {path}, attempt {}", job.attempt());
            Ok(Outcome::Result(format!("small-{path}").into_bytes()))
        })
        .run()
}
