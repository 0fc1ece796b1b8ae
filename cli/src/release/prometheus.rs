//! What Prometheus knows of stable and canary.
//!
//! The counters are asked for as they were scraped, with the times of the samples: a rate over the
//! last minutes, as dashboards want it, would count every request at several looks.

use super::counting::{Measured, Part, Series, Side};
use super::document::Moment;
use super::http;
use super::plan::{Analysis, Plan};
use super::trouble::Trouble;
use reqwest::Client;
use serde_json::Value;
use std::collections::BTreeMap;

/// How far back the first look goes, to know stable.
const PAST: &str = "10m";
/// How far back other looks go: longer than any usual scrape interval.
const RECENT: &str = "2m";

/// Prometheus, and what to ask it for one release.
#[derive(Clone, Debug)]
pub(crate) struct Prometheus {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    /// The matchers that all queries have, without braces.
    matchers: String,
    stable: String,
    canary: String,
    slow: Option<u64>,
}

impl Prometheus {
    pub(crate) fn new(client: &Client, plan: &Plan, analysis: &Analysis) -> Self {
        let upstreams = format!(
            "{}|{}",
            regex_syntax::escape(&plan.stable),
            regex_syntax::escape(&plan.canary)
        );
        let own = [("rule", "=", plan.rule.as_str()), ("upstream", "=~", upstreams.as_str())];
        let more =
            analysis.selector.iter().map(|(name, value)| (name.as_str(), "=", value.as_str()));
        let matchers: Vec<String> = own
            .into_iter()
            .chain(more)
            .map(|(name, operator, value)| format!("{name}{operator}{}", quoted(value)))
            .collect();
        Self {
            client: client.clone(),
            url: analysis.prometheus.clone(),
            headers: analysis.headers.clone(),
            matchers: matchers.join(","),
            stable: plan.stable.clone(),
            canary: plan.canary.clone(),
            slow: analysis.slow.map(|(over, _)| over.0),
        }
    }

    /// One look.
    pub(crate) async fn measure(&self, is_first: bool) -> Result<Measured, Trouble> {
        let range = if is_first { PAST } else { RECENT };
        let matchers = &self.matchers;
        let answers = format!(
            "{{__name__=~\"(kong_)?tse_route_responses_total\",class!=\"none\",{matchers}}}[{range}]"
        );
        let mut series = Vec::new();
        for result in self.query(&answers).await? {
            let part = match result.label("class") {
                "5xx" => Part::Bad,
                _ => Part::Good,
            };
            series.extend(self.series(&result, "errors", part));
        }
        if let Some(over) = self.slow {
            series.extend(self.slow(over, range).await?);
        }
        let weights = format!("tse_route_configured_weight{{{matchers}}}");
        let mut shown: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for result in self.query(&weights).await? {
            let Some((_, value)) = result.samples.last() else { continue };
            let gateway = shown.entry(result.key_without("upstream")).or_default();
            match self.side(&result) {
                Some(Side::Stable) => gateway.0 = *value,
                Some(Side::Canary) => gateway.1 = *value,
                None => {}
            }
        }
        // A gateway whose configuration is gone shows nothing but zeros.
        let shown = shown.into_values().filter(|(stable, canary)| stable + canary > 0.0).collect();
        Ok(Measured { series, shown })
    }

    async fn slow(&self, over: u64, range: &str) -> Result<Vec<Series>, Trouble> {
        let matchers = &self.matchers;
        let name = "{__name__=~\"(kong_)?tse_route_upstream_latency_ms_bucket\"";
        // Versions differ in how they write a whole number.
        let bounds = format!("le=~\"({over}|{over}\\\\.0|\\\\+Inf)\"");
        let query = format!("{name},{bounds},{matchers}}}[{range}]");
        let results = self.query(&query).await?;
        let mut series = Vec::new();
        for result in &results {
            let part = if result.label("le") == "+Inf" { Part::All } else { Part::Fast };
            series.extend(self.series(result, "slow", part));
        }
        let has = |part: Part| series.iter().any(|one| one.part == part);
        if has(Part::All) && !has(Part::Fast) {
            let known = self.query(&format!("group by (le) ({name},{matchers}}})")).await?;
            let mut bounds: Vec<f64> =
                known.iter().filter_map(|one| one.label("le").parse().ok()).collect();
            bounds.retain(|bound| bound.is_finite());
            bounds.sort_by(f64::total_cmp);
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            return Err(Trouble::Wrong(format!(
                "analysis.slow.over: the histogram has no bound of {over} ms; accepted is one of its \
                 bounds: {}",
                bounds.join(", ")
            )));
        }
        Ok(series)
    }

    fn series(&self, result: &Sampled, measure: &'static str, part: Part) -> Option<Series> {
        let side = self.side(result)?;
        let key = result.key_without("");
        Some(Series { key, measure, side, part, samples: result.samples.clone() })
    }

    fn side(&self, result: &Sampled) -> Option<Side> {
        match result.label("upstream") {
            name if name == self.stable => Some(Side::Stable),
            name if name == self.canary => Some(Side::Canary),
            _ => None,
        }
    }

    async fn query(&self, query: &str) -> Result<Vec<Sampled>, Trouble> {
        let url = format!("{}/api/v1/query", self.url);
        let request = self.client.get(url).query(&[("query", query)]);
        let answer = http::json(http::with_headers(request, &self.headers)).await;
        // Whatever is wrong with it, it may be put right while the release waits.
        let answer = answer.map_err(|trouble| Trouble::Away(trouble.text().to_owned()))?;
        let results = answer.pointer("/data/result").and_then(Value::as_array);
        let Some(results) = results else {
            return Err(Trouble::Away(format!("{}: found no result in the answer", self.url)));
        };
        Ok(results.iter().map(Sampled::of).collect())
    }
}

/// A text as PromQL has it in quotes.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A series of an answer.
struct Sampled {
    labels: BTreeMap<String, String>,
    samples: Vec<(Moment, f64)>,
}

impl Sampled {
    fn of(value: &Value) -> Self {
        let labels = value.get("metric").and_then(Value::as_object).into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let many = value.get("values").and_then(Value::as_array).into_iter().flatten();
        let samples = many.chain(value.get("value")).filter_map(|sample| {
            let seconds = sample.get(0)?.as_f64()?;
            let value = sample.get(1)?.as_str()?.parse().ok()?;
            Some((Moment((seconds * 1_000.0).round() as u64), value))
        });
        Self {
            labels: labels.map(|(name, value)| (name.clone(), text(value))).collect(),
            samples: samples.collect(),
        }
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map(String::as_str).unwrap_or_default()
    }

    /// All labels but one, as one text.
    fn key_without(&self, without: &str) -> String {
        let labels = self.labels.iter().filter(|(name, _)| *name != without);
        labels
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect::<Vec<_>>()
            .join(",")
    }
}
