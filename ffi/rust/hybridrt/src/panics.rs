//! Catches panics of handlers and says where they came from.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    static REPORT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics of handlers remember their place. What was there as a hook is called as before.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_HANDLER.get() {
                REPORT.set(Some(report(info)));
            }
            previous(info);
        }));
    });
}

/// Runs a handler; a panic comes back as a text with message, place and stack.
pub(crate) fn catch<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    IN_HANDLER.set(true);
    // What a panic leaves half-done inside the handler is the handler's own; ours is behind locks
    // that ignore poisoning and is cleared before the next job.
    let caught = panic::catch_unwind(AssertUnwindSafe(run));
    IN_HANDLER.set(false);
    caught.map_err(|payload| {
        REPORT
            .take()
            .unwrap_or_else(|| format!("panic: {}", message(&*payload)))
    })
}

fn report(info: &PanicHookInfo<'_>) -> String {
    let mut text = format!("panic: {}", message(info.payload()));
    if let Some(place) = info.location() {
        text.push_str(&format!("\nat {place}"));
    }
    text.push('\n');
    text.push_str(&interesting(&Backtrace::force_capture().to_string()));
    text
}

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(not a text)"
    }
}

/// The part of a backtrace between the machinery of panics and this library.
fn interesting(backtrace: &str) -> String {
    let lines: Vec<&str> = backtrace.lines().collect();
    let is_machinery =
        |line: &&str| line.contains("core::panicking::") || line.contains("begin_unwind");
    let first = lines
        .iter()
        .rposition(is_machinery)
        .map_or(0, |index| index + 1);
    let is_place = |line: &&&str| line.trim_start().starts_with("at ");
    let first = first + lines[first..].iter().take_while(is_place).count();
    let is_ours = |line: &&str| line.contains("hybridrt::panics::");
    let count = lines[first..]
        .iter()
        .position(is_ours)
        .unwrap_or(lines.len() - first);
    lines[first..first + count].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_with_message_and_place() {
        install_hook();
        let text = catch(|| panic!("boom {}", 7)).unwrap_err();
        assert!(text.starts_with("panic: boom 7\nat "), "{text}");
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.contains("panics.rs")),
            "{text}"
        );
        assert_eq!(catch(|| 5), Ok(5));
    }

    #[test]
    fn a_panic_with_a_value_is_caught_too() {
        install_hook();
        let text = catch(|| panic::panic_any(7)).unwrap_err();
        assert!(text.starts_with("panic: (not a text)"), "{text}");
    }

    #[test]
    fn only_the_handlers_own_frames_are_kept() {
        let backtrace = [
            "   0: std::backtrace::Backtrace::force_capture",
            "   5: core::panicking::panic_fmt",
            "             at /rustc/x",
            "   6: worker::resize",
            "             at ./src/main.rs:7",
            "   7: hybridrt::panics::catch",
            "   8: main",
        ]
        .join("\n");
        assert_eq!(
            interesting(&backtrace),
            "   6: worker::resize\n             at ./src/main.rs:7"
        );
        assert_eq!(interesting("   0: <unknown>"), "   0: <unknown>");
    }
}
