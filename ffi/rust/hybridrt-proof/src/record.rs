//! Records of the log, and the entries that stand for them at the leaves.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Fault;

pub const ENTRY_SIZE: usize = 96;
const HEADER_SIZE: usize = 64;
const ENTRY_VERSION: u32 = 1;
const TYPE_OFFSET: usize = 44;
const TYPE_LOST: u8 = 0;
const TYPE_PAD: u8 = 7;
const SPARE: u64 = u64::MAX; // number of a segment file that is not in use

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

/// The record's header, the version in place of its checksum, and the record's digest. Of a PAD
/// only the header counts.
fn entry_of(record: &[u8]) -> Result<Vec<u8>, Fault> {
    let header = record
        .get(..HEADER_SIZE)
        .ok_or("a record is shorter than its header")?;
    let covered = if header[TYPE_OFFSET] == TYPE_PAD {
        header
    } else {
        record
    };
    let mut entry = header.to_vec();
    entry[4..8].copy_from_slice(&ENTRY_VERSION.to_le_bytes());
    entry.extend_from_slice(&Sha256::digest(covered));
    Ok(entry)
}

/// Accepts an entry of the one layout that there is.
pub fn check_entry(entry: &[u8]) -> Result<(), Fault> {
    if entry.len() == ENTRY_SIZE && u32_at(entry, 4) == ENTRY_VERSION {
        Ok(())
    } else {
        Err("an entry is of an unknown layout".into())
    }
}

/// Accepts a record that is the one of its entry.
pub fn fits(entry: &[u8], record: &[u8]) -> Result<(), Fault> {
    if entry_of(record)? == entry {
        Ok(())
    } else {
        Err(format!(
            "record {} is not the one that was signed",
            sequence_of(entry)
        )
        .into())
    }
}

pub fn sequence_of(entry: &[u8]) -> u64 {
    u64_at(entry, 8)
}

/// Whether the record of an entry was lost before it could be read.
pub fn is_lost(entry: &[u8]) -> bool {
    entry[TYPE_OFFSET] == TYPE_LOST
}

/// The segment files of a log at rest, by their number.
pub struct SegmentLog {
    size: u64,
    oldest: u64,
    data: HashMap<u64, Vec<u8>>,
}

impl SegmentLog {
    pub fn read(directory: &Path) -> Result<Self, Fault> {
        let mut log = Self {
            size: 0,
            oldest: SPARE,
            data: HashMap::new(),
        };
        for file in std::fs::read_dir(directory)? {
            let path = file?.path();
            if path.extension().is_none_or(|suffix| suffix != "seg") {
                continue;
            }
            let data = std::fs::read(&path)?;
            if data.len() < HEADER_SIZE {
                continue; // not begun
            }
            let number = u64_at(&data, 16);
            if number != SPARE {
                log.size = u32_at(&data, 12).into();
                log.oldest = log.oldest.min(number);
                log.data.insert(number, data);
            }
        }
        if log.size == 0 {
            Err("there is no log".into())
        } else {
            Ok(log)
        }
    }

    /// Finds the record of an entry and compares them; false: its segment was used again since.
    pub fn compare(&self, entry: &[u8]) -> Result<bool, Fault> {
        let is_pad = entry[TYPE_OFFSET] == TYPE_PAD;
        let length = if is_pad {
            HEADER_SIZE
        } else {
            usize::try_from(u32_at(entry, 0))?
        };
        let position = u64_at(entry, 16);
        let number = position / self.size;
        if number < self.oldest {
            return Ok(false);
        }
        let offset = usize::try_from(position % self.size)?;
        let record = self
            .data
            .get(&number)
            .and_then(|data| data.get(offset..offset + length))
            .ok_or_else(|| format!("record {} is missing from the log", sequence_of(entry)))?;
        fits(entry, record)?;
        Ok(true)
    }
}
