//! A whole proof: the tree is built anew from the entries and compared with what was published.

use std::path::Path;

use tlog_tiles::{Error as TreeError, Hash, HashReader, Tile, stored_hashes, tree_hash};

use crate::record::{ENTRY_SIZE, SegmentLog, check_entry, is_lost, sequence_of};
use crate::{Audit, Fault, head};

const TILE_HEIGHT: u8 = 8;
const LENGTH_BYTES: usize = 2;

/// All hashes of a tree in the order in which tlog stores them.
struct Hashes(Vec<Hash>);

impl HashReader for Hashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, TreeError> {
        let found = indexes.iter().map(|&index| {
            let place = usize::try_from(index).map_err(|_| TreeError::IndexesNotInTree)?;
            self.0
                .get(place)
                .copied()
                .ok_or(TreeError::IndexesNotInTree)
        });
        found.collect()
    }
}

/// Names a tile as C2SP tlog-tiles does: the crate puts the height in front of the level.
fn tile_path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

/// Checks a whole proof: the tree is built anew from the entries and compared with all that was
/// published in `directory`. With `log`, the directory of a log at rest, every record that it still
/// has is compared with its entry too.
///
/// # Errors
///
/// Says what does not hold. Every one of `keys` has to have signed.
pub fn verify_directory(
    directory: &Path,
    log: Option<&Path>,
    keys: &[String],
) -> Result<Audit, Fault> {
    let signed = head::open(&std::fs::read(directory.join("checkpoint"))?, keys)?;
    let tiles = Tile::new_tiles(TILE_HEIGHT, 0, signed.size);
    let entries = read_entries(directory, &tiles)?;
    let log = log.map(SegmentLog::read).transpose()?;
    let (mut lost, mut gone) = (0, 0);
    for entry in &entries {
        if is_lost(entry) {
            lost += 1;
        } else if let Some(log) = &log {
            gone += u64::from(!log.compare(entry)?);
        }
    }
    let size = u64::try_from(entries.len())?;
    let mut tree = Hashes(Vec::new());
    for (index, entry) in (0..size).zip(&entries) {
        let more = stored_hashes(index, entry, &tree)?;
        tree.0.extend(more);
    }
    if size != signed.size || tree_hash(size, &tree)?.0 != signed.root {
        return Err("the entries do not lead to the root of the checkpoint".into());
    }
    compare_tiles(directory, &tiles, &tree)?;
    Ok(Audit { signed, lost, gone })
}

fn read_entries(directory: &Path, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for tile in tiles.iter().filter(|tile| tile.level() == 0) {
        let path = tile_path(tile).replacen("tile/0/", "tile/entries/", 1);
        let data = std::fs::read(directory.join(path))?;
        for item in data.chunks(LENGTH_BYTES + ENTRY_SIZE) {
            let (length, entry) = item
                .split_at_checked(LENGTH_BYTES)
                .ok_or("a bundle is cut")?;
            if usize::from(u16::from_be_bytes(length.try_into()?)) != ENTRY_SIZE {
                return Err("a bundle of entries is malformed".into());
            }
            check_entry(entry)?;
            let before = entries.last().map(|last| sequence_of(last));
            if before.is_some_and(|sequence| sequence.wrapping_add(1) != sequence_of(entry)) {
                return Err(format!("record {} does not follow", sequence_of(entry)).into());
            }
            entries.push(entry.to_vec());
        }
    }
    Ok(entries)
}

fn compare_tiles(directory: &Path, tiles: &[Tile], tree: &Hashes) -> Result<(), Fault> {
    for tile in tiles {
        let path = tile_path(tile);
        if std::fs::read(directory.join(&path))? != tile.read_data(tree)? {
            return Err(format!("{path} is not the tile of this tree").into());
        }
    }
    Ok(())
}
