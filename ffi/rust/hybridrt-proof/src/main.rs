//! Checks what a hybridrt log has signed, offline.
//!
//! ```text
//! hybridrt-verify --key VKEY [--log DIR] DIRECTORY     a whole proof; with its log at rest
//! hybridrt-verify --key VKEY [--record FILE] RECEIPT   the receipt of a record; with the record
//! hybridrt-verify --cases FILE                         many, one a line as JSON; a verdict each
//! ```
//!
//! Name `--key` several times if several have to have signed. Exit status: 0 all of it holds, 1 it
//! does not, 2 wrong usage.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hybridrt_proof::{Audit, Fault, verify_directory, verify_receipt};
use serde::{Deserialize, Serialize};

const USAGE: &str = "usage: hybridrt-verify --key VKEY [--log DIR | --record FILE] PLACE";

/// What to check; what is not there is not.
#[derive(Default, Deserialize)]
struct Request {
    #[serde(default)]
    id: u64,
    keys: Vec<String>,
    directory: Option<PathBuf>,
    log: Option<PathBuf>,
    receipt: Option<PathBuf>,
    record: Option<PathBuf>,
}

#[derive(Serialize)]
struct Verdict {
    id: u64,
    accepted: bool,
    reason: String,
}

impl Request {
    fn check(&self) -> Result<Audit, Fault> {
        if let Some(receipt) = &self.receipt {
            let record = self.record.as_ref().map(fs::read).transpose()?;
            let signed = verify_receipt(&fs::read(receipt)?, record.as_deref(), &self.keys)?;
            let (lost, gone) = (0, 0);
            return Ok(Audit { signed, lost, gone });
        }
        let directory = self.directory.as_ref().ok_or("there is nothing to check")?;
        verify_directory(directory, self.log.as_deref(), &self.keys)
    }
}

fn judge_all(path: &Path) -> Result<(), Fault> {
    let mut output = std::io::stdout().lock();
    for line in BufReader::new(fs::File::open(path)?).lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let reason = request.check().err().map(|fault| fault.to_string());
        let verdict = Verdict {
            id: request.id,
            accepted: reason.is_none(),
            reason: reason.unwrap_or_default(),
        };
        writeln!(output, "{}", serde_json::to_string(&verdict)?)?;
    }
    Ok(())
}

fn judge_one(mut request: Request, place: PathBuf) -> Result<(), Fault> {
    let is_directory = place.is_dir();
    if (is_directory && request.record.is_some()) || (!is_directory && request.log.is_some()) {
        return Err("--log goes with a directory, --record with a receipt".into());
    }
    let shown = place.display().to_string();
    if is_directory {
        request.directory = Some(place);
    } else {
        request.receipt = Some(place);
    }
    let found = request
        .check()
        .map_err(|fault| format!("{shown}: {fault}"))?;
    let root = BASE64_STANDARD.encode(found.signed.root);
    println!(
        "ok: {}, {} records{}, root {root}",
        found.signed.origin,
        found.signed.size,
        without(&found)
    );
    Ok(())
}

/// Which records nobody could look at.
fn without(found: &Audit) -> String {
    let mut text = String::new();
    if found.gone > 0 {
        text += &format!(", {} of them no longer in the log", found.gone);
    }
    if found.lost > 0 {
        text += &format!(", {} lost before they were signed", found.lost);
    }
    text
}

/// What the command line asks for; nothing if it is no good.
fn run(mut words: impl Iterator<Item = String>) -> Option<Result<(), Fault>> {
    let (mut request, mut place, mut cases) = (Request::default(), None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--key" => request.keys.push(words.next()?.trim().to_owned()),
            "--log" => request.log = Some(words.next()?.into()),
            "--record" => request.record = Some(words.next()?.into()),
            "--cases" => cases = Some(PathBuf::from(words.next()?)),
            option if option.starts_with('-') => return None,
            _ if place.is_some() => return None,
            _ => place = Some(PathBuf::from(word)),
        }
    }
    match (cases, place) {
        (Some(cases), None) => Some(judge_all(&cases)),
        (None, Some(place)) if !request.keys.is_empty() => Some(judge_one(request, place)),
        _ => None,
    }
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(fault)) => {
            eprintln!("hybridrt-verify: {fault}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
