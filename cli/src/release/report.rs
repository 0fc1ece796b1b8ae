//! The report of a release: Markdown for merge requests, HTML with the plot.

use super::document::{Point, Release};
use super::phase::Phase;
use std::fmt::Write as _;
use tse_route::config::Share;

/// The report as Markdown.
pub(crate) fn markdown(release: &Release) -> String {
    let mut text = format!("# {}: {}\n\n", release.release, release.phase);
    if !release.why.is_empty() {
        let _ = writeln!(text, "{}\n", sentence(&release.why));
    }
    let _ = writeln!(text, "| | |\n|---|---|");
    for (name, value) in facts(release) {
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    }
    let _ = writeln!(
        text,
        "\n| bad answers | {} | {} |\n|---|---|---|",
        release.stable, release.canary
    );
    for (name, stable, canary) in measures(release) {
        let _ = writeln!(text, "| {name} | {stable} | {canary} |");
    }
    let _ = writeln!(text, "\n| time | what happened | canary | why |\n|---|---|---|---|");
    for entry in &release.history {
        let share = Share::hundredths(entry.share);
        let why = entry.why.replace('|', "\\|");
        let _ = writeln!(text, "| {} | {} | {share} % | {why} |", entry.at, entry.to);
    }
    text
}

/// The report as one HTML file.
pub(crate) fn html(release: &Release) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         <h1>{0} <span class=\"{1}\">{1}</span></h1>\n",
        escaped(&release.release),
        release.phase
    );
    if !release.why.is_empty() {
        let _ = writeln!(text, "<p>{}</p>", escaped(&sentence(&release.why)));
    }
    let _ = writeln!(text, "<table>");
    for (name, value) in facts(release) {
        let _ = writeln!(text, "<tr><th>{}<td>{}", escaped(&name), escaped(&value));
    }
    let _ = writeln!(text, "</table>");
    let measured: Vec<&String> = release.watch.measures.keys().collect();
    for name in measured {
        let of = |point: &Point, canary: bool| {
            point.rates.get(name).map_or(0.0, |rates| if canary { rates.1 } else { rates.0 })
                * 100.0
        };
        let lines = [
            (release.stable.as_str(), "stable", series(release, |point| of(point, false))),
            (release.canary.as_str(), "canary", series(release, |point| of(point, true))),
        ];
        text.push_str(&plot(&format!("{name}: bad answers so far, per cent"), &lines));
    }
    let lines = [
        ("worse", "worse", series(release, |point| point.evidence.0.clamp(-5.0, 20.0))),
        ("not worse", "not-worse", series(release, |point| point.evidence.1.clamp(-5.0, 20.0))),
    ];
    text.push_str(&plot("evidence, as a natural logarithm", &lines));
    let lines =
        [(release.canary.as_str(), "canary", series(release, |point| point.share as f64 / 100.0))];
    text.push_str(&plot("the canary's share, per cent", &lines));
    let _ = writeln!(text, "<table><tr><th>time<th>what happened<th>canary<th>why");
    for entry in &release.history {
        let _ = writeln!(
            text,
            "<tr><td>{}<td>{}<td>{} %<td>{}",
            entry.at,
            entry.to,
            Share::hundredths(entry.share),
            escaped(&entry.why)
        );
    }
    let _ = writeln!(text, "</table>\n</html>");
    text
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:1em 0}th,td{text-align:left;padding:.2em .8em .2em 0;vertical-align:top}\
svg{width:100%;height:auto}.promoted{color:#1a7f37}.rolled-back,.refused,.stopped{color:#c0362c}\
.stable{stroke:#3b6fb5;fill:#3b6fb5}.canary{stroke:#d08700;fill:#d08700}.worse{stroke:#c0362c;fill:#c0362c}\
.not-worse{stroke:#1a7f37;fill:#1a7f37}polyline{fill:none!important;stroke-width:1.5}text{stroke:none;font-size:11px}\
.axis{stroke:#888;stroke-width:.5}.axis+text,.number{fill:#555}";

/// A line of a plot: its name, its class, its points by seconds.
type Line<'l> = (&'l str, &'l str, Vec<(f64, f64)>);

fn series(release: &Release, value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let seconds = |point: &Point| point.at.0.saturating_sub(release.began.0) as f64 / 1_000.0;
    release.watch.points.iter().map(|point| (seconds(point), value(point))).collect()
}

fn plot(title: &str, lines: &[Line<'_>]) -> String {
    const SIZE: (f64, f64) = (900.0, 180.0);
    const LEFT: f64 = 50.0;
    const TOP: f64 = 24.0;
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let last = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let low = points().map(|(_, y)| *y).fold(0.0, f64::min);
    let high = points().map(|(_, y)| *y).fold(low + 1e-9, f64::max);
    let x = |value: f64| LEFT + value / last * (SIZE.0 - LEFT - 10.0);
    let y = |value: f64| TOP + (high - value) / (high - low) * (SIZE.1 - TOP - 20.0);
    let mut text = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\"><text class=\"number\" x=\"{LEFT}\" y=\"14\">{}</text>",
        SIZE.0,
        SIZE.1,
        escaped(title)
    );
    for value in [low, high] {
        let _ = write!(
            text,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/><text class=\"number\" x=\"2\" y=\"{2:.1}\">{value:.2}</text>",
            SIZE.0 - 10.0,
            y(value),
            y(value) + 4.0
        );
    }
    let _ = write!(
        text,
        "<text class=\"number\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{last:.0} s</text>",
        SIZE.0 - 10.0,
        SIZE.1 - 4.0
    );
    for (index, (name, class, points)) in lines.iter().enumerate() {
        let path: Vec<String> =
            points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = write!(
            text,
            "<polyline class=\"{class}\" points=\"{}\"/><text class=\"{class}\" x=\"{}\" y=\"14\">{}</text>",
            path.join(" "),
            500 + index * 150,
            escaped(name)
        );
    }
    text.push_str("</svg>\n");
    text
}

fn facts(release: &Release) -> Vec<(String, String)> {
    let mut facts = vec![
        ("rule".to_owned(), release.rule.clone()),
        ("stable".to_owned(), release.stable.clone()),
        ("canary".to_owned(), release.canary.clone()),
        ("began".to_owned(), release.began.to_string()),
    ];
    if let Some(ended) = release.ended {
        facts.push(("ended".to_owned(), ended.to_string()));
    }
    facts.push(("canary's share".to_owned(), format!("{} %", Share::hundredths(release.share))));
    facts.extend(release.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    facts
}

/// What was seen, by measure: stable, canary.
fn measures(release: &Release) -> Vec<(String, String, String)> {
    let told = |counts: super::evidence::Counts| {
        format!("{:.0} of {:.0} ({:.2} %)", counts.bad, counts.requests, counts.rate() * 100.0)
    };
    release
        .watch
        .measures
        .iter()
        .map(|(name, one)| (name.clone(), told(one.total.stable), told(one.total.canary)))
        .collect()
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A one-line conclusion, with the exit code that says the same.
pub(crate) fn conclusion(release: &Release) -> (String, u8) {
    let (word, code) = match release.phase {
        Phase::Promoted => ("promoted", 0),
        Phase::RolledBack => ("rolled back", 3),
        Phase::Refused => ("refused", 5),
        Phase::Stopped => ("stopped", 5),
        _ => ("waits for approval", 4),
    };
    let why = if release.why.is_empty() { String::new() } else { format!(": {}", release.why) };
    (format!("{}: {word}{why}", release.release), code)
}
