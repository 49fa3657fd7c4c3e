//! Checks proofs of hybridrt logs with the crates `signed_note` and `tlog_tiles`.
//!
//! Usage: `verify-proof-rust CASES` with one case a line, as JSON; prints one verdict a line.

mod audit;
mod head;
mod receipt;
mod record;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// What makes a proof unacceptable.
pub type Fault = Box<dyn Error>;

/// What to check; paths are empty when there is nothing to check there.
#[derive(Deserialize)]
pub struct Case {
    id: u64,
    /// All of them have to have signed.
    pub keys: Vec<String>,
    /// Of a proof: checked whole.
    #[serde(default)]
    pub directory: PathBuf,
    /// Directory of the log that it proves.
    #[serde(default)]
    pub log: PathBuf,
    /// A file.
    #[serde(default)]
    pub receipt: PathBuf,
    /// A file: the record that the receipt is for.
    #[serde(default)]
    pub record: PathBuf,
}

#[derive(Serialize)]
struct Verdict {
    id: u64,
    accepted: bool,
    reason: String,
}

fn judge(case: &Case) -> Result<(), Fault> {
    if case.receipt.as_os_str().is_empty() {
        audit::check(case)
    } else {
        receipt::check(case)
    }
}

fn run(path: &str) -> Result<(), Fault> {
    let lines = BufReader::new(std::fs::File::open(path)?).lines();
    let mut output = std::io::stdout().lock();
    for line in lines {
        let case: Case = serde_json::from_str(&line?)?;
        let found = judge(&case);
        let verdict = Verdict {
            id: case.id,
            accepted: found.is_ok(),
            reason: found.err().map_or(String::new(), |fault| fault.to_string()),
        };
        writeln!(output, "{}", serde_json::to_string(&verdict)?)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: verify-proof-rust CASES");
        return ExitCode::from(2);
    };
    match run(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("verify-proof-rust: {fault}");
            ExitCode::FAILURE
        }
    }
}
