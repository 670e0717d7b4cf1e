//! Styles and scripts without what only their readers need.
//!
//! In scope: remarks, indentation, and spaces and line ends that no browser minds: a fifth of the bytes. Not in scope: shorter names,
//! and whatever needs a parser. The files are our own, and keep to what the tests below demand of them.

/// A script: without lines that are remarks, remarks behind code (` // `), and the spaces and line ends that separate nothing.
///
/// Texts in quotes stay as they are. A line break stays unless something is still open before it, so that no statement is joined to the
/// next where neither has a semicolon.
pub(super) fn script(source: &str) -> String {
    let mut small = String::with_capacity(source.len());
    for line in source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        if !small.is_empty() && !small.ends_with(['{', ',', ';', '(', '[']) {
            small.push('\n');
        }
        let is_open = add_line(line, &mut small);
        debug_assert!(!is_open, "a text of several lines, or a regular expression with a quote: {line}");
    }
    small
}

/// Whether a text is open at the end of the line.
fn add_line(line: &str, small: &mut String) -> bool {
    let mut quote = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                small.push(c);
                small.extend(chars.next().map(|(_, escaped)| escaped));
                continue;
            }
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if line[at..].starts_with(" // ") => return false,
            None if c == ' ' && !separates(small.chars().next_back(), chars.peek().map(|(_, next)| *next)) => continue,
            _ => {}
        }
        small.push(c);
    }
    quote.is_some()
}

/// Whether a space between these means something: it keeps words apart, and signs that would be one; and a slash may begin a regular
/// expression.
fn separates(before: Option<char>, behind: Option<char>) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let (Some(before), Some(behind)) = (before, behind) else { return false };
    is_word(before) && is_word(behind) || before == behind && matches!(before, '+' | '-') || before == '/' || behind == '/'
}

/// A style sheet: without line ends, indentation and the spaces around its marks. No space before a colon is touched: in a selector
/// that would be another.
pub(super) fn style(source: &str) -> String {
    let mut small = String::with_capacity(source.len());
    for c in source.chars().map(|c| if c == '\n' { ' ' } else { c }) {
        let is_mark = matches!(c, '{' | '}' | ';' | ',' | '>');
        if is_mark {
            small.truncate(small.trim_end_matches(' ').len());
        }
        if c == '}' && small.ends_with(';') {
            small.pop();
        }
        if c != ' ' || !small.is_empty() && !small.ends_with([' ', '{', '}', ';', ',', '>', ':']) {
            small.push(c);
        }
    }
    small.truncate(small.trim_end_matches(' ').len());
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts() {
        for (source, want) in [
            ("", ""),
            ("// a\n  // b\n", ""),
            ("a;\n\n  b; // c\n//\n\t'// d' ;", "a;b;'// d';"),
            ("x = 'https://a' // b\n/ 2", "x='https://a'\n/ 2"),
            ("a = [\n  b, // c\n  d,\n];\ne", "a=[b,d,];e"),
            ("const a = b => c in d ? 'e  f' : \"it's { }\";", "const a=b=>c in d?'e  f':\"it's { }\";"),
            ("a + +b - -c + d++ + e", "a+ +b- -c+d++ +e"),
            ("f('\\'  // x', 1 )", "f('\\'  // x',1)"),
            ("return /a b/.test(c) || / d/.test(e)", "return /a b/.test(c)|| / d/.test(e)"),
            ("a\nb", "a\nb"),
            ("if (a)\n  b", "if(a)\nb"),
            ("'ä' + 'ö…'", "'ä'+'ö…'"),
        ] {
            assert_eq!(script(source), want, "{source}");
        }
    }

    #[test]
    fn styles() {
        for (source, want) in [
            ("", ""),
            (
                "a > b, .c :focus { margin: 0 auto; width: calc(1px - 2px) }\n\n.d { color: red; }\n",
                "a>b,.c :focus{margin:0 auto;width:calc(1px - 2px)}.d{color:red}",
            ),
            ("@media (a: b) { :root {\n  --c: 0 1px #0006;\n} }", "@media (a:b){:root{--c:0 1px #0006}}"),
        ] {
            assert_eq!(style(source), want, "{source}");
        }
    }
}
