//! The six tools in their fixed order. Must never hold a tool that deletes, merges, searches or sends a mail.
use crate::{Ports, append_note, ask_human, draft_email, get_deal, schedule_follow_up, set_stage};
use gate::Tool;
use serde_json::Value;

/// Every tool, in the order in which the model and the pages see them.
// INVARIANT (I18): a tool that is not in this list does not exist.
#[must_use]
pub fn registry(ports: &Ports) -> Vec<Tool> {
    vec![
        get_deal::tool(ports),
        append_note::tool(ports),
        set_stage::tool(ports),
        schedule_follow_up::tool(ports),
        draft_email::tool(ports),
        ask_human::tool(ports),
    ]
}

/// The registered tools.
#[derive(Debug)]
pub struct Registry {
    tools: Vec<Tool>,
}

/// What the model is told of one tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// The name.
    pub name: &'static str,
    /// What it does, and when to use it.
    pub description: &'static str,
    /// The JSON schema of its arguments, fit for strict tool use.
    pub input_schema: Value,
}

impl Registry {
    /// Builds the tools; connects to nothing.
    #[must_use]
    pub fn new(ports: &Ports) -> Self {
        Self { tools: registry(ports) }
    }

    /// The tool of exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Every tool, in order.
    #[must_use]
    pub fn all(&self) -> &[Tool] {
        &self.tools
    }

    /// What the model is told, in order.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let spec = |tool: &Tool| ToolSpec {
            name: tool.name,
            description: tool.description,
            input_schema: tool.schema.clone(),
        };
        self.tools.iter().map(spec).collect()
    }
}

#[cfg(test)]
mod tests;
