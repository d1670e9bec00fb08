//! The Redis wire format, versions 2 and 3: requests in, replies out. Must never hold more of a request than
//! its bounds allow.

/// Most parts of one request.
const PARTS_MAX: usize = 1024;
/// Most bytes of one part.
const PART_BYTES_MAX: usize = 512 * 1024;
/// Most bytes of one request.
pub(super) const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a length line, with its mark.
const LINE_BYTES_MAX: usize = 32;

/// A request: the command and its arguments.
pub(super) type Request = Vec<Vec<u8>>;

/// A request that breaks the format or its bounds. The connection is closed after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProtocolError(pub(super) &'static str);

/// Reads one request from the front of `bytes`: it and its length, or `None` when more bytes are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, ProtocolError> {
    let Some((parts, mut at)) = length(bytes, 0, b'*')? else { return Ok(None) };
    if parts > PARTS_MAX {
        return Err(ProtocolError("invalid multibulk length"));
    }
    let mut request = Vec::with_capacity(parts);
    for _ in 0..parts {
        let Some((size, start)) = length(bytes, at, b'$')? else { return Ok(None) };
        if size > PART_BYTES_MAX || start.saturating_add(size) > REQUEST_BYTES_MAX {
            return Err(ProtocolError("invalid bulk length"));
        }
        let Some(part) = bytes.get(start..start + size) else { return Ok(None) };
        match bytes.get(start + size..start + size + 2) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError("expected a line end after a bulk")),
        }
        request.push(part.to_vec());
        at = start + size + 2;
    }
    Ok(Some((request, at)))
}

/// Reads `<mark><digits>\r\n` at `at`: the number, and where the next thing begins. A negative number is 0.
fn length(bytes: &[u8], at: usize, mark: u8) -> Result<Option<(usize, usize)>, ProtocolError> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first() {
        None => return Ok(None),
        Some(first) if *first == mark => {}
        Some(_) if mark == b'*' => return Err(ProtocolError("expected '*'")),
        Some(_) => return Err(ProtocolError("expected '$'")),
    }
    let line = rest.get(..rest.len().min(LINE_BYTES_MAX)).unwrap_or_default();
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(ProtocolError("too big a length line"))
        };
    };
    let number = line.get(1..end).and_then(|digits| std::str::from_utf8(digits).ok());
    let number: i64 = number.and_then(|digits| digits.parse().ok()).ok_or(ProtocolError("invalid length"))?;
    if number < 0 && mark == b'$' {
        return Err(ProtocolError("invalid bulk length"));
    }
    Ok(Some((usize::try_from(number).unwrap_or(0), at + end + 2)))
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A short word such as OK.
    Simple(&'static str),
    /// An error: its code, a space, its text.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Text for people.
    Text(String),
    /// No value.
    Nil,
    /// No list: an EXEC that did not happen.
    NilList,
    /// A list.
    List(Vec<Reply>),
    /// Pairs.
    Map(Vec<(&'static str, Reply)>),
}

impl Reply {
    /// An ordinary error.
    pub(super) fn error(text: impl AsRef<str>) -> Self {
        Self::Error(format!("ERR {}", text.as_ref()))
    }

    /// Appends the reply in version 2 or 3 of the format.
    pub(super) fn write(&self, version: u8, out: &mut Vec<u8>) {
        let line = |mark: char, number: i64| format!("{mark}{number}\r\n").into_bytes();
        let count = |items: usize| i64::try_from(items).unwrap_or(i64::MAX);
        match self {
            Self::Simple(word) => out.extend(format!("+{word}\r\n").into_bytes()),
            Self::Error(text) => {
                // A line end inside would end the reply early.
                out.extend(format!("-{}\r\n", text.replace(['\r', '\n'], " ")).into_bytes());
            }
            Self::Integer(number) => out.extend(line(':', *number)),
            Self::Bulk(bytes) => {
                out.extend(line('$', count(bytes.len())));
                out.extend(bytes);
                out.extend(b"\r\n");
            }
            Self::Text(text) if version == 3 => {
                out.extend(line('=', count(text.len()) + 4));
                out.extend(format!("txt:{text}\r\n").into_bytes());
            }
            Self::Text(text) => Self::Bulk(text.clone().into_bytes()).write(version, out),
            Self::Nil | Self::NilList if version == 3 => out.extend(b"_\r\n"),
            Self::Nil => out.extend(b"$-1\r\n"),
            Self::NilList => out.extend(b"*-1\r\n"),
            Self::List(items) => {
                out.extend(line('*', count(items.len())));
                items.iter().for_each(|item| item.write(version, out));
            }
            Self::Map(pairs) => {
                let (mark, size) = if version == 3 { ('%', 1) } else { ('*', 2) };
                out.extend(line(mark, count(pairs.len()) * size));
                for (name, value) in pairs {
                    Self::Bulk(name.as_bytes().to_vec()).write(version, out);
                    value.write(version, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_request_asks_for_more_and_the_whole_is_read() {
        let whole = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n1\r\n2\r\n*1\r\n";
        let request = whole.len() - 4;
        for cut in 0..request {
            assert_eq!(parse(&whole[..cut]), Ok(None), "cut at {cut}");
        }
        let (parts, used) = parse(whole).unwrap().unwrap();
        assert_eq!(parts, [b"SET".to_vec(), b"a".to_vec(), b"1\r\n2".to_vec()]);
        assert_eq!(used, request);
    }

    #[test]
    fn bounds_are_refused_before_the_bytes_arrive() {
        assert!(parse(b"*1025\r\n").is_err());
        assert!(parse(b"*1\r\n$524289\r\n").is_err());
        assert!(parse(b"*1\r\n$-1\r\n").is_err());
        assert!(parse(b"*11111111111111111111111111111111111").is_err());
        assert!(parse(b"GET a\r\n").is_err());
        assert!(parse(b"*1\r\n+a\r\n").is_err());
        assert!(parse(b"*1\r\n$1\r\nabc").is_err());
    }

    #[test]
    fn an_error_text_cannot_end_its_reply_early() {
        let mut out = Vec::new();
        Reply::error("a\r\n+OK").write(2, &mut out);
        assert_eq!(out, b"-ERR a  +OK\r\n");
    }
}
