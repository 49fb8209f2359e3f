//! scratch
use crate::crd::{check, finding::Remarks, schema::Kind, yaml};
#[test]
fn probe() {
    for file in std::env::var("PROBE").unwrap().split(',') {
        let text = std::fs::read_to_string(file).unwrap();
        let mut remarks = Remarks::default();
        let mut docs = yaml::documents(&text, &mut remarks);
        for d in &mut docs {
            let kind = match d.get("kind").and_then(|e| e.node.as_text()) { Some("Run") => Kind::Run, Some("WorkerPool") => Kind::WorkerPool, _ => Kind::Workflow };
            let ok = check::check(kind, d, &mut remarks);
            println!("usable {ok} {}", d.to_json());
        }
        if let Some(f) = remarks.finish(file, &text) { println!("{f}"); }
    }
    for kind in Kind::ALL { println!("{}", crate::crd::schema::printed(kind).len()); }
    println!("{}", crate::crd::schema::printed(Kind::Workflow));
}
