//! Checkpoints: who signed them, and what they say.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::{Note, StandardVerifier, Verifier, VerifierList, key_id};

use crate::{Checkpoint, Fault};

const COSIGNATURE: u8 = 4;
const STAMP_BYTES: usize = 8;

/// The public key of a witness (C2SP tlog-cosignature).
struct Cosigner {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((stamp, rest)) = signature.split_first_chunk::<STAMP_BYTES>() else {
            return false;
        };
        let Ok(signature) = Signature::from_slice(rest) else {
            return false;
        };
        let time = u64::from_be_bytes(*stamp);
        let mut signed = format!("cosignature/v1\ntime {time}\n").into_bytes();
        signed.extend_from_slice(message);
        self.key.verify_strict(&signed, &signature).is_ok()
    }
}

/// Reads a verifier key; of the types that `signed_note` does not know, that of witnesses.
fn verifier(text: &str) -> Result<Box<dyn Verifier>, Fault> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("a key has three parts".into());
    };
    let material = BASE64_STANDARD.decode(encoded)?;
    match material.split_first() {
        Some((&COSIGNATURE, public)) => {
            let number = key_id(name, &material);
            if id != format!("{number:08x}") {
                return Err("the id of a key does not fit it".into());
            }
            Ok(Box::new(Cosigner {
                name: name.to_owned(),
                id: number,
                key: VerifyingKey::from_bytes(public.try_into()?)?,
            }))
        }
        _ => Ok(Box::new(StandardVerifier::new(text)?)),
    }
}

/// Accepts a checkpoint that all keys signed; signatures of others are passed over.
pub fn open(text: &[u8], keys: &[String]) -> Result<Checkpoint, Fault> {
    let known: Result<Vec<_>, _> = keys.iter().map(|key| verifier(key)).collect();
    let note = Note::from_bytes(text)?;
    let (verified, _) = note.verify(&VerifierList::new(known?))?;
    if verified.len() != keys.len() {
        return Err("not signed by all the keys that were named".into());
    }
    let head =
        tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|fault| fault.to_string())?;
    if !head.extension().is_empty() {
        return Err("a checkpoint has three lines".into());
    }
    Ok(Checkpoint {
        origin: head.origin().to_owned(),
        size: head.size(),
        root: head.hash().0,
    })
}
