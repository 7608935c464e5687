//! The scenario `audit`: two people use three services in two countries, and an auditor asks where their data went.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::client::{Protocol, Request};
use super::stage::Stage;
use crate::Result;

/// The services of the example.
pub(super) const SERVICES: [&str; 3] = ["orders", "inventory", "customers"];

/// What a command of the auditor said.
struct Answer {
    code: Option<i32>,
    text: String,
}

/// Shows everything.
pub(super) fn show(stage: &mut Stage, gateway: &Path) -> Result {
    requests(stage)?;
    questions(stage, gateway)?;
    tampering(stage, gateway)?;
    erasure(stage, gateway)?;
    stage.scene("SIGTERM");
    let ended = stage.children.terminate("gateway", Duration::from_secs(40));
    stage.expect("the gateway drained and left with exit code 0", ended == Some(0))?;
    let verified = ask(stage, gateway, &["verify"])?;
    stage.expect("the closed ledger verifies", verified.code == Some(0))?;
    println!("\n{} checks passed; the ledger is {}", stage.passed(), stage.place.file("audit").display());
    Ok(())
}

/// Runs `gateway audit …` where the gateway runs, and shows what it says.
fn ask(stage: &Stage, gateway: &Path, arguments: &[&str]) -> Result<Answer> {
    println!("$ gateway audit {}", arguments.join(" "));
    let output = Command::new(gateway)
        .arg("audit")
        .args(arguments)
        .current_dir(stage.place.file(""))
        .output()
        .map_err(|error| format!("gateway audit: {error}"))?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    text.lines().take(40).for_each(|line| println!("   {line}"));
    Ok(Answer { code: output.status.code(), text })
}

fn requests(stage: &mut Stage) -> Result {
    stage.scene("Two people use three services");
    for (path, key, body, status) in [
        ("/orders", "kari-key", Some(r#"{"item": "boots", "card": "4111 1111 1111 1111"}"#), 201),
        ("/inventory/boots", "kari-key", None, 200),
        ("/customers/1", "ola-key", None, 200),
        ("/orders", "ola-key", Some(r#"{"item": "skis", "mail": "ola@example.no"}"#), 201),
        ("/orders", "nobody", None, 401),
    ] {
        let mut headers = vec![format!("x-api-key: {key}")];
        headers.extend(body.map(|_| "content-type: application/json".to_owned()));
        let request = Request { url: stage.place.http(path), headers, body: body.map(str::to_owned) };
        let response = stage.exchange(Protocol::Http1, &request, &[])?;
        stage.expect(&format!("{path} answers {status}"), response.status == status)?;
    }
    Ok(())
}

fn questions(stage: &mut Stage, gateway: &Path) -> Result {
    stage.scene("The ledger is whole, and says where Kari's data went");
    let verified = ask(stage, gateway, &["verify"])?;
    stage.expect("nothing is wrong with the ledger", verified.code == Some(0))?;
    let kari = ask(stage, gateway, &["query", "--subject", "key:kari"])?;
    let told = kari.text.contains("orders") && kari.text.contains("inventory") && !kari.text.contains("customers");
    stage.expect("Kari's went to orders and to inventory", told)?;
    stage.expect("a card was seen, and masked", kari.text.contains("card:mask:1"))?;
    let abroad = ask(stage, gateway, &["query", "--country", "DE"])?;
    let lines = abroad.text.lines().filter(|line| line.contains("customers")).count();
    stage.expect("one exchange went to Germany", lines == 1)?;
    stage.scene("The record of processing activities (article 30)");
    let report = ask(stage, gateway, &["report"])?;
    let words = ["order handling", "customer support", "consent", "Example Support GmbH", "DE", "365d"];
    stage.expect(
        "it has purposes, grounds, recipients and countries",
        words.iter().all(|word| report.text.contains(word)),
    )?;
    let nobody = ["4111", "example.no", "kari", "ola"].iter().all(|value| !report.text.contains(value));
    stage.expect("and nobody's data", nobody)
}

fn tampering(stage: &mut Stage, gateway: &Path) -> Result {
    stage.scene("A copy in which one word is another");
    let (from, to) = (stage.place.file("audit"), stage.place.file("tampered"));
    let segment = "edge-1/365d/0000000001.jsonl";
    fs::create_dir_all(to.join("edge-1/365d")).map_err(|error| format!("{}: {error}", to.display()))?;
    let text = fs::read_to_string(from.join(segment)).map_err(|error| format!("{segment}: {error}"))?;
    let changed = text.replacen("\"country\":\"NO\"", "\"country\":\"SE\"", 1);
    fs::write(to.join(segment), changed).map_err(|error| format!("{segment}: {error}"))?;
    let found = ask(stage, gateway, &["verify", "tampered"])?;
    stage.expect("verify finds it, and says where", found.code == Some(1) && found.text.contains(segment))
}

fn erasure(stage: &mut Stage, gateway: &Path) -> Result {
    stage.scene("Ola is forgotten");
    let before = ask(stage, gateway, &["query", "--subject", "key:ola"])?;
    stage.expect("Ola's exchanges are found", before.text.lines().count() == 3)?;
    let erased = ask(stage, gateway, &["erase", "--subject", "key:ola"])?;
    stage.expect("Ola's key is deleted, by the gateway that runs", erased.code == Some(0))?;
    let after = ask(stage, gateway, &["query", "--subject", "key:ola"])?;
    stage.expect("nobody can tell which are Ola's", after.text.lines().count() == 1)?;
    let verified = ask(stage, gateway, &["verify"])?;
    stage.expect("and the ledger is as whole as before", verified.code == Some(0))
}
