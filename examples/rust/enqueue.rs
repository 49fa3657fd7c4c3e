//! Enqueues a job for each argument: `enqueue a.png b.png`.

use hybridrt::{Client, Error, NewJob};

fn main() -> Result<(), Error> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let client = Client::connect()?;
    let jobs = paths
        .iter()
        .map(|path| NewJob::new("image.resize", path).key("album"));
    for (path, answer) in paths.iter().zip(client.enqueue_many(jobs)) {
        match answer {
            Ok(id) => println!("{path}: job {id}"),
            Err(error) => println!("{path}: {error}"),
        }
    }
    Ok(())
}
