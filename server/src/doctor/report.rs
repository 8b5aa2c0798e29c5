//! Findings as a table for people and as JSON for programs.

use serde::Serialize;

use super::finding::{Finding, Verdict, worst};

/// One line a finding, below it what to change, at the end what it comes to.
pub fn table(findings: &[Finding]) -> String {
    let width = |of: fn(&Finding) -> &str, title: &str| {
        let texts = findings.iter().map(|finding| of(finding).chars().count());
        texts.chain([title.len()]).max().unwrap_or_default()
    };
    let check = width(|f| f.check, "check");
    let measured = width(|f| &f.measured, "measured");
    let mut text = format!(
        "      {:check$}  {:measured$}  wanted\n",
        "check", "measured"
    );
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text += &format!(
            "{mark:4}  {:check$}  {:measured$}  {}\n",
            finding.check, finding.measured, finding.wanted
        );
        if let Some(change) = &finding.change {
            text += &format!("      -> {change}\n");
        }
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (fail, warn) = (count(Verdict::Fail), count(Verdict::Warn));
    text += &match (fail, warn) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, _) => format!("Ready; {warn} to look at.\n"),
        _ => format!("{fail} must be changed before production, {warn} to look at.\n"),
    };
    text
}

/// One object: the worst verdict and all findings.
pub fn json(findings: &[Finding]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        verdict: Verdict,
        findings: &'a [Finding],
    }
    let verdict = worst(findings);
    let text = serde_json::to_string_pretty(&Report { verdict, findings })?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_changes_stand_below() {
        let findings = [
            Finding::ok("one", "1", "1"),
            Finding::ok("longer", "much", "more").fail("do this"),
        ];
        let expected = "      check   measured  wanted\n\
                        ok    one     1         1\n\
                        FAIL  longer  much      more\n\
                        \u{20}     -> do this\n\
                        1 must be changed before production, 0 to look at.\n";
        assert_eq!(table(&findings), expected);
    }

    #[test]
    fn json_names_the_worst_first() {
        let text = json(&[Finding::ok("one", "1", "2").warn("x")]).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["verdict"], "warn");
        let one = &read["findings"][0];
        assert_eq!(
            (&one["check"], &one["change"]),
            (&"one".into(), &"x".into())
        );
    }
}
