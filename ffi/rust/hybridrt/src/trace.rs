//! W3C trace context, carried along with a job.

use std::fmt;
use std::str::FromStr;

use hybridrt_sys as sys;

const SIZE: usize = sys::HRT_TRACE_SIZE as usize;

/// A trace and the span that a job belongs to, as in the W3C `traceparent` header.
///
/// ```
/// use hybridrt::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace: TraceContext = text.parse()?;
/// assert_eq!(trace.to_string(), text);
/// # Ok::<(), hybridrt::InvalidTrace>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    bytes: [u8; SIZE],
}

/// The text is not a W3C `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTrace;

impl TraceContext {
    /// Makes a context from its parts.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Self {
        let mut bytes = [0; SIZE];
        bytes[1..17].copy_from_slice(&trace_id);
        bytes[17..25].copy_from_slice(&span_id);
        bytes[25] = flags;
        Self { bytes }
    }

    pub(crate) fn from_bytes(bytes: [u8; SIZE]) -> Self {
        Self { bytes }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; SIZE] {
        &self.bytes
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.bytes[..26].iter().enumerate() {
            if matches!(index, 1 | 17 | 25) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTrace;

    fn from_str(text: &str) -> Result<Self, InvalidTrace> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace_id, span_id, flags] = parts[..] else {
            return Err(InvalidTrace);
        };
        if version != "00" {
            return Err(InvalidTrace);
        }
        let [flags] = hex(flags)?;
        Ok(Self::new(hex(trace_id)?, hex(span_id)?, flags))
    }
}

fn hex<const N: usize>(text: &str) -> Result<[u8; N], InvalidTrace> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InvalidTrace);
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = &text[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidTrace)?;
    }
    Ok(bytes)
}

impl fmt::Display for InvalidTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a W3C traceparent of version 00")
    }
}

impl std::error::Error for InvalidTrace {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_traceparent_is_refused() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for bad in [
            "",
            "00",
            &good[..54],
            &good.replace("4b", "4é"),
            &good.replace("00-4", "01-4"),
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(InvalidTrace), "{bad}");
        }
    }
}
