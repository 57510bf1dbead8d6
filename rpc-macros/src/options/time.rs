//! Times in options.

/// Milliseconds of a time like `"1500ms"`, `"5s"`, `"2m"` or `"1h"`.
pub(super) fn millis(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => Err(format!("`{text}` is not a time; write a number and a unit: \"250ms\", \"5s\", \"2m\" or \"1h\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(
            [millis("250ms"), millis("5s"), millis("2m"), millis("1h")].map(Result::unwrap),
            [250, 5_000, 120_000, 3_600_000]
        );
        for bad in ["", "5", "s", "5 days", "0s", "99999999999999999999s"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }
}
