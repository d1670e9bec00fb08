//! WCAG 2.2 A and AA and axe's best practices, over a page as the real browser shows it. Must never let a
//! page load anything: the rules come over the browser's own pipe.
use super::browser::Tab;
use super::*;

/// What broke a rule: the rule, what it says, and the first elements that break it.
const BROKEN: &str = "axe.run(document,{resultTypes:['violations'],runOnly:{type:'tag',values:['wcag2a','wcag2aa',\
    'wcag21a','wcag21aa','wcag22a','wcag22aa','best-practice']}}).then(r=>({passes:r.passes.length,\
    broken:r.violations.map(v=>[v.id,v.help,...v.nodes.slice(0,3).map(n=>n.html.slice(0,200)+' :: '\
    +n.failureSummary)])}))";

/// axe, if this machine has it.
pub(super) struct Rules(String);

impl Rules {
    /// The rules, or `None` when no page can be held to them here.
    pub(super) fn new(test: &str) -> Option<Self> {
        let Some(script) = xtask::axe() else {
            not_run(&format!("pages::{test}, its part about WCAG"), "no axe; `cargo xtask test` gets it");
            return None;
        };
        Some(Self(std::fs::read_to_string(script).expect("a script")))
    }

    /// What the tab shows keeps every rule.
    pub(super) async fn hold(&self, tab: &Tab, name: &str) {
        // As its own value a script of half a megabyte would come back.
        tab.eval(&format!("{};void 0", self.0)).await;
        let found = tab.eval(BROKEN).await;
        assert!(found["passes"].as_u64().is_some_and(|rules| rules >= 10), "{name}: too few rules: {found}");
        assert_eq!(found["broken"], json!([]), "{name} breaks rules: {found:#}");
    }
}
