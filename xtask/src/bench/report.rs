//! What the samples say: a table for people, JSON for machines, and the gate.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::json;

use super::Measured;
use super::scenario::{Peer, Plugins, SCENARIOS, Scenario};
use crate::Result;

/// The most that h1_1k may cost, relative to NGINX.
const MOST_TO_NGINX: f64 = 1.5;

/// What a plugin has to stay under, in microseconds.
const UNDER_PER_PLUGIN: f64 = 2.0;

/// How much of the time a proxy has to use its core: below, what is measured is how it wakes up and waits.
const LEAST_BUSY: f64 = 0.5;

/// One measurement.
pub(crate) struct Sample {
    pub(crate) scenario: &'static str,
    pub(crate) peer: Peer,
    pub(crate) round: usize,
    pub(crate) measured: Result<Measured>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} round {} {}: ", self.scenario, self.round, self.peer)?;
        match &self.measured {
            Ok(measured) => {
                write!(f, "{:.2} µs of CPU per request, core busy {:.0} %", measured.cpu_us, measured.busy * 100.0)
            }
            Err(reason) => write!(f, "invalid: {reason}"),
        }
    }
}

/// Every sample, as they come: an interrupted run leaves what it has.
pub(crate) fn write_json(samples: &[Sample], file: &Path) -> Result {
    let samples: Vec<_> = samples
        .iter()
        .map(|sample| {
            let mut value = json!({
                "scenario": sample.scenario, "peer": sample.peer.to_string(), "round": sample.round,
            });
            match &sample.measured {
                Ok(measured) => {
                    value["cpu_us"] = json!(measured.cpu_us);
                    value["busy"] = json!(measured.busy);
                    value["body_bytes"] = json!(measured.body_bytes);
                }
                Err(reason) => value["invalid"] = json!(reason),
            }
            value
        })
        .collect();
    let text = format!("{:#}\n", json!({ "samples": samples }));
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The valid figures of one scenario and peer, by round.
fn figures(samples: &[Sample], scenario: &str, peer: Peer) -> BTreeMap<usize, f64> {
    let mine = samples.iter().filter(|sample| sample.scenario == scenario && sample.peer == peer);
    mine.filter_map(|sample| Some((sample.round, sample.measured.as_ref().ok()?.cpu_us))).collect()
}

/// `combine(figure, base)` for each round that has both.
fn by_round(of: &BTreeMap<usize, f64>, base: &BTreeMap<usize, f64>, combine: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    of.iter().filter_map(|(round, figure)| Some(combine(*figure, *base.get(round)?))).collect()
}

fn to_nginx(samples: &[Sample], scenario: &str) -> Vec<f64> {
    let base = figures(samples, scenario, Peer::Nginx);
    by_round(&figures(samples, scenario, Peer::Gateway), &base, |own, base| own / base)
}

/// Microseconds that each plugin of a chain adds.
fn per_plugin(samples: &[Sample], scenario: &str, count: usize) -> Vec<f64> {
    let base = figures(samples, "chain_0", Peer::Gateway);
    by_round(&figures(samples, scenario, Peer::Gateway), &base, |own, base| (own - base) / count as f64)
}

/// Prints a row for each scenario and peer.
pub(crate) fn print(chosen: &[&Scenario], samples: &[Sample]) {
    println!("\n| scenario | peer | CPU µs/request | core busy, % | compared |\n|---|---|--:|--:|---|");
    for scenario in chosen {
        for &peer in scenario.peers {
            let own = figures(samples, scenario.name, peer);
            let compared = match (scenario.plugins, peer) {
                (_, Peer::Nginx) => "1".to_owned(),
                (Plugins::None, Peer::Gateway) if scenario.peers.contains(&Peer::Nginx) => {
                    format!("{} × nginx", spread(to_nginx(samples, scenario.name)))
                }
                (Plugins::None, Peer::Gateway) => {
                    let base = figures(samples, "tls_h2_1k", Peer::Gateway);
                    format!("{} × tls_h2_1k", spread(by_round(&own, &base, |own, base| own / base)))
                }
                (Plugins::Headers(0), _) => "0".to_owned(),
                (Plugins::Headers(count), _) => {
                    format!("+ {} µs per plugin", spread(per_plugin(samples, scenario.name, count)))
                }
                (Plugins::Redact, _) => format!(
                    "{} MiB per CPU second, {} × json_1m",
                    spread(throughput(samples, scenario.name)),
                    spread(by_round(&own, &figures(samples, "json_1m", peer), |own, base| own / base))
                ),
            };
            let busy = median(busy(samples, scenario.name, peer))
                .map_or("-".to_owned(), |busy| format!("{:.0}", busy * 100.0));
            let (name, about, own) = (scenario.name, scenario.about, spread(own.into_values()));
            println!("| {name}: {about} | {peer} | {own} | {busy} | {compared} |");
        }
    }
    println!("\nMedians, in brackets the smallest and the largest; comparisons are made within a round.");
    for warning in idle(chosen, samples) {
        println!("warning: {warning}");
    }
}

fn busy(samples: &[Sample], scenario: &str, peer: Peer) -> Vec<f64> {
    let mine = samples.iter().filter(|sample| sample.scenario == scenario && sample.peer == peer);
    mine.filter_map(|sample| Some(sample.measured.as_ref().ok()?.busy)).collect()
}

/// What to say where a proxy had little to do.
fn idle(chosen: &[&Scenario], samples: &[Sample]) -> Vec<String> {
    let peers = chosen.iter().flat_map(|scenario| scenario.peers.iter().map(|peer| (scenario.name, *peer)));
    let lazy = peers.filter_map(|(name, peer)| {
        let busy = median(busy(samples, name, peer))?;
        let percent = busy * 100.0;
        (busy < LEAST_BUSY).then(|| format!("{name}, {peer}: core busy {percent:.0} %, the load was the limit"))
    });
    lazy.collect()
}

/// Body bytes through the proxy for a second of CPU time.
fn throughput(samples: &[Sample], scenario: &str) -> Vec<f64> {
    let mine = samples.iter().filter(|sample| sample.scenario == scenario);
    let valid = mine.filter_map(|sample| sample.measured.as_ref().ok());
    valid.map(|measured| measured.body_bytes as f64 / f64::from(1 << 20) / (measured.cpu_us / 1e6)).collect()
}

/// The gate. What was not measured has not passed.
pub(crate) fn check(samples: &[Sample]) -> Result {
    let ratio = median(to_nginx(samples, "h1_1k")).ok_or("h1_1k was not measured")?;
    if ratio > MOST_TO_NGINX {
        return Err(format!("h1_1k takes {ratio:.2} × NGINX's CPU time, more than {MOST_TO_NGINX}"));
    }
    let chains = SCENARIOS.iter().filter_map(|scenario| match scenario.plugins {
        Plugins::Headers(count) if count > 0 => Some((scenario.name, count)),
        Plugins::Headers(_) | Plugins::None | Plugins::Redact => None,
    });
    for (name, count) in chains {
        let added = median(per_plugin(samples, name, count)).ok_or(format!("{name} or chain_0 was not measured"))?;
        if added >= UNDER_PER_PLUGIN {
            return Err(format!("a plugin of {name} adds {added:.2} µs, not under {UNDER_PER_PLUGIN}"));
        }
    }
    println!("within the limits: h1_1k at {ratio:.2} × NGINX");
    Ok(())
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values = sorted(values);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[values.len() / 2 - 1], upper) })
}

fn spread(values: impl IntoIterator<Item = f64>) -> String {
    let values = sorted(values);
    match (median(values.iter().copied()), values.first(), values.last()) {
        (Some(middle), Some(least), Some(most)) => format!("{middle:.2} ({least:.2} to {most:.2})"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(scenario: &'static str, peer: Peer, round: usize, cpu_us: f64) -> Sample {
        Sample { scenario, peer, round, measured: Ok(Measured { cpu_us, body_bytes: 1024, busy: 1.0 }) }
    }

    fn samples(ours: f64, chain: f64) -> Vec<Sample> {
        (0..3)
            .flat_map(|round| {
                let noise = 1.0 + round as f64 / 10.0;
                [
                    sample("h1_1k", Peer::Nginx, round, 20.0 * noise),
                    sample("h1_1k", Peer::Gateway, round, ours * noise),
                    sample("chain_0", Peer::Gateway, round, 20.0),
                    sample("chain_1", Peer::Gateway, round, 20.0 + chain),
                    sample("chain_5", Peer::Gateway, round, 20.0 + 5.0 * chain),
                ]
            })
            .collect()
    }

    #[test]
    fn the_gate_compares_within_rounds() {
        assert_eq!(check(&samples(29.0, 1.5)), Ok(()));
        assert!(check(&samples(31.0, 1.5)).is_err());
        assert!(check(&samples(29.0, 2.5)).is_err());
    }

    #[test]
    fn what_was_not_measured_has_not_passed() {
        let mut some = samples(29.0, 1.5);
        some.retain(|sample| sample.scenario != "chain_5");
        assert!(check(&some).is_err());
    }

    #[test]
    fn a_proxy_that_waited_for_its_load_is_warned_about() {
        let mut lazy = sample("h1_1k", Peer::Gateway, 1, 20.0);
        lazy.measured = lazy.measured.map(|measured| Measured { busy: 0.3, ..measured });
        let chosen: Vec<_> = SCENARIOS.iter().collect();
        let warnings = idle(&chosen, &[sample("h1_1k", Peer::Nginx, 1, 20.0), lazy]);
        assert_eq!(warnings, ["h1_1k, gateway: core busy 30 %, the load was the limit"]);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}
