//! Reads the records of PAX headers. Values may hold anything, line ends too.

/// Splits records of the form `LENGTH KEY=VALUE\n`, where the length is that of the whole record; `None` when one is malformed.
pub(super) fn records(mut data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().take(20).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        data = &data[length..];
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_hold_anything_and_lengths_are_checked() {
        let one = b"12 path=a\nb\n";
        assert_eq!(records(one), Some(vec![(&b"path"[..], &b"a\nb"[..])]));
        let two = [&one[..], b"6 x==\n", b"5 k=\n"].concat();
        let expected: Vec<(&[u8], &[u8])> = vec![(b"path", b"a\nb"), (b"x", b"="), (b"k", b"")];
        assert_eq!(records(&two), Some(expected));
        assert_eq!(records(b""), Some(Vec::new()));
        for malformed in [
            &b"garbage"[..],
            b"6 k=v",
            b"7 k=v\n",
            b"5 k=v\n",
            b"2 \n",
            b"4 k\n",
            b"99999999999999999999 k=v\n",
            b"-1 k=v\n",
            b"0 k=v\n",
        ] {
            assert_eq!(records(malformed), None, "{:?}", String::from_utf8_lossy(malformed));
        }
    }
}
