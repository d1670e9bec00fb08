//! The pipeline stages that the ops lead allows. Must never allow a stage by its label, nor one that is not
//! listed.
use serde::{Deserialize, Serialize};

/// One stage as the ops lead sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRule {
    /// HubSpot's id of the stage (`contractsent`, or digits). Ids, not labels, go into `dealstage`.
    pub stage_id: String,
    /// What HubSpot calls it, for people.
    pub label: String,
    /// The pipeline it belongs to.
    pub pipeline_id: String,
    /// May the agent move deals here?
    pub agent_may_move_here: bool,
    /// HubSpot counts it as closed (won or lost).
    pub closed: bool,
}

/// The ops lead's list. Empty means that no stage is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stages(pub Vec<StageRule>);

impl Stages {
    /// The listed stage with this id. Letter case is ignored, because constrained decoding does not keep it;
    /// the id that is used afterwards is ours.
    #[must_use]
    pub fn find(&self, stage_id: &str) -> Option<&StageRule> {
        self.0.iter().find(|rule| rule.stage_id.eq_ignore_ascii_case(stage_id))
    }

    /// The label of a stage for people, or its id where it is not listed.
    #[must_use]
    pub fn label<'a>(&'a self, stage_id: &'a str) -> &'a str {
        self.find(stage_id).map_or(stage_id, |rule| rule.label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_found_by_id_in_any_case_and_never_by_label() {
        let stages = Stages(vec![StageRule {
            stage_id: "contractsent".into(),
            label: "Contract sent".into(),
            pipeline_id: "default".into(),
            agent_may_move_here: true,
            closed: false,
        }]);
        assert_eq!(stages.find("ContractSent").map(|rule| rule.stage_id.as_str()), Some("contractsent"));
        assert!(stages.find("Contract sent").is_none());
        assert!(Stages::default().find("contractsent").is_none());
    }
}
