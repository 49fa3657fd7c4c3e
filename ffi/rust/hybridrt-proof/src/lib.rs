//! Checks what a hybridrt log has signed: a whole published proof, or the receipt of one record.
//!
//! It reads the formats of C2SP with the crates `signed_note` and `tlog_tiles`, and needs neither
//! the C library nor a running supervisor. The program `hybridrt-verify` does it from a shell.
//!
//! ```no_run
//! let keys = ["example.org/jobs+1b8c2a3d+AZ...".to_owned()];
//! let receipt = std::fs::read("4711-settle.tlog-proof")?;
//! let signed = hybridrt_proof::verify_receipt(&receipt, None, &keys)?;
//! println!("record of {}, among {} that were signed", signed.origin, signed.size);
//! # Ok::<(), hybridrt_proof::Fault>(())
//! ```
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod audit;
mod head;
mod receipt;
mod record;

pub use audit::verify_directory;
pub use receipt::verify_receipt;

/// What makes a proof unacceptable, in a sentence.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// The number of records.
    pub size: u64,
    /// The head of the tree over them.
    pub root: [u8; 32],
}

/// What a whole proof comes to. The records that are lost and gone count in its size too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What was signed.
    pub signed: Checkpoint,
    /// Records that were lost before they could be read; their leaves say so.
    pub lost: u64,
    /// Records whose segment is not in the log any more; 0 without a log.
    pub gone: u64,
}
