//! A worker for jobs that take long: what it saves survives it.

use std::{thread, time::Duration};

use hybridrt::{BoxError, Context, Error, Job, Outcome, Worker};

const PAGES: u32 = 300;

fn scan_page(job: &Job<'_>, page: u32) {
    println!("{}, page {page}", String::from_utf8_lossy(job.payload()));
    thread::sleep(Duration::from_secs(1));
}

fn scan(job: &Job<'_>, ctx: &Context<'_>) -> Result<Outcome, BoxError> {
    let done = std::str::from_utf8(job.saved())?.parse().unwrap_or(0);
    for page in done..PAGES {
        if ctx.is_draining() {
            return Ok(Outcome::HandBack);
        }
        scan_page(job, page);
        ctx.checkpoint((page + 1).to_string().as_bytes())?;
    }
    Ok(Outcome::Done)
}

fn main() -> Result<(), Error> {
    Worker::builder().handle("book.scan", scan).run()
}
