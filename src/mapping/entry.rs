//! One mapping of a file, in the relay's own form or in Segment's JSON, and its compilation.
//!
//! The relay's form has `name`, `enabled`, `trigger`, `action`, `fields`; an unknown key is a fault. Segment's form
//! has `subscribe`, `partnerAction`, `mapping` (presets) or `trigger`, `actionSlug`, `settings` (API); other keys are
//! ignored.

use super::directive::{CompileError, Directive};
use super::field::{Field, refusal};
use super::load::{Loading, action_hint, did_you_mean};
use super::trigger::Trigger;
use super::{Action, Expression, Mapping, Origin, Slot, lint, spec};
use crate::document::Node;
use crate::event::SourceKind;
use crate::json::Value;

const RELAY_KEYS: [&str; 5] = ["name", "enabled", "trigger", "action", "fields"];

/// A mapping with any of these is in Segment's form.
pub(super) const SEGMENT_KEYS: [&str; 6] =
    ["subscribe", "partnerAction", "actionSlug", "actionId", "mapping", "settings"];

/// Segment's reserved keys of a mapping object begin with this (`docs/segment.md#mappings`).
const RESERVED: &str = "__segment_internal_";
const ROOT_DIRECTIVE: &str = "__segment_internal_directive";

/// One mapping of a file, before it is compiled.
pub(super) struct Entry<'d> {
    pub node: Node<'d>,
    /// The file's `source`: only events of this kind match.
    source: Option<SourceKind>,
    /// True if it is in Segment's form.
    segment: bool,
}

impl<'d> Entry<'d> {
    pub(super) fn new(node: Node<'d>, source: Option<SourceKind>) -> Self {
        let segment = node.document().is_json() && SEGMENT_KEYS.iter().any(|key| node.get(key).is_some());
        // A mapping made at Segment is meant for Segment's events.
        let source = source.or(segment.then_some(SourceKind::Segment));
        Self { node, source, segment }
    }

    /// True if it is in Segment's form, so that it was probably pasted from there.
    pub(super) const fn is_segment_form(&self) -> bool {
        self.segment
    }

    /// Compiles the mapping and reports every fault. Returns `None` only if no mapping can be made.
    pub(super) fn compile(&self, loading: &mut Loading) -> Option<Mapping> {
        if !matches!(self.node.value, Value::Object(_)) {
            let message = format!("a mapping {}", refusal("an object", self.node.value.kind()));
            loading.fault(|| self.node.fault(message));
            return None;
        }
        if !self.segment {
            for (key, node) in self.node.members().filter(|(key, _)| !RELAY_KEYS.contains(key)) {
                let hint = did_you_mean(key, RELAY_KEYS.into_iter());
                loading.fault(|| node.fault_of_key(format!("a mapping has no key {key}{hint}")));
            }
        }
        let (trigger_keys, action_keys): (&[&str], &[&str]) = if self.segment {
            (&["subscribe", "trigger"], &["partnerAction", "actionSlug", "action"])
        } else {
            (&["trigger"], &["action"])
        };
        let name = if self.segment { self.segment_form_name() } else { self.relay_form_name(loading) };
        let enabled = self.enabled(loading);
        let trigger = self.text(trigger_keys, loading).and_then(|node| trigger(&node, loading));
        let action = self.text(action_keys, loading);
        let fields = self.fields(loading);
        let action = action.and_then(|node| action_of(&node, loading))?;
        let (slots, root) = self.slots(action, fields.as_ref(), loading);
        self.warn_about_likely_mistakes(&slots, fields.as_ref(), trigger.as_ref(), loading);
        let name = if self.segment { name.unwrap_or(&action.label) } else { name? };
        Some(Mapping {
            name: name.into(),
            enabled,
            origin: self.node.document().file(),
            source: self.source,
            trigger: trigger?,
            action,
            slots,
            root,
        })
    }

    fn relay_form_name(&self, loading: &mut Loading) -> Option<&'d str> {
        self.text(&["name"], loading)?.value.as_str()
    }

    /// Returns the name that it has at Segment, which may be empty or missing.
    fn segment_form_name(&self) -> Option<&'d str> {
        self.node.get("name")?.value.as_str().map(str::trim).filter(|name| !name.is_empty())
    }

    /// Returns the first of these keys that exists; it must be a string that is not empty.
    fn text(&self, keys: &[&str], loading: &mut Loading) -> Option<Node<'d>> {
        let Some(node) = self.first_of(keys) else {
            loading.fault(|| self.node.fault(format!("the mapping has no {}", keys.join(" or "))));
            return None;
        };
        if node.value.as_str().is_none_or(str::is_empty) {
            let message = format!("{} {}", node.key(), refusal("a non-empty string", node.value.kind()));
            loading.fault(|| node.fault(message));
            return None;
        }
        Some(node)
    }

    /// Returns the member with the first of these keys that exists.
    fn first_of(&self, keys: &[&str]) -> Option<Node<'d>> {
        keys.iter().find_map(|key| self.node.get(key))
    }

    fn enabled(&self, loading: &mut Loading) -> bool {
        match self.node.get("enabled") {
            None | Some(Node { value: Value::Null, .. }) => true,
            Some(Node { value: Value::Bool(enabled), .. }) => *enabled,
            Some(node) => {
                loading.fault(|| node.fault("enabled must be true or false"));
                false
            }
        }
    }

    /// Returns the object of fields. An action without fields needs none.
    fn fields(&self, loading: &mut Loading) -> Option<Node<'d>> {
        let node = self.first_of(&["fields", "mapping", "settings"])?;
        if node.value.as_object().is_none() {
            let rule = "an object: the action's fields, each with its value or directive";
            let message = format!("{} {}", node.key(), refusal(rule, node.value.kind()));
            loading.fault(|| node.fault(message));
            return None;
        }
        Some(node)
    }

    /// Makes a slot for every field of the action: the field, and where its value comes from. Compiles the root directive if
    /// there is one.
    fn slots(
        &self,
        action: &'static Action,
        fields: Option<&Node<'d>>,
        loading: &mut Loading,
    ) -> (Vec<Slot>, Option<Directive>) {
        self.check_unknown_keys(fields, action, loading);
        let whole = fields.filter(|fields| fields.get(ROOT_DIRECTIVE).is_some());
        let root = whole
            .and_then(|fields| self.directive(fields, Directive::compile_mapping(fields.value), loading));
        let mut slots = Vec::with_capacity(action.fields.len());
        for field in &action.fields {
            let origin = match (fields.and_then(|fields| fields.get(&field.key)), &field.default) {
                (Some(node), _) if whole.is_some() => Origin::Root(node.value.clone().into_owned()),
                (Some(node), _) => self
                    .directive(&node, Directive::compile(node.value), loading)
                    .map(|directive| Expression { directive, written: node.value.clone().into_owned() })
                    .map_or(Origin::Nothing, Origin::Directive),
                (None, Some(default)) if field.dialect.is_some() => Origin::Extension(default),
                (None, _) => {
                    self.warn_if_required(field, loading);
                    Origin::Nothing
                }
            };
            slots.push(Slot { field, origin });
        }
        (slots, root)
    }

    /// Returns a compiled directive and reports its faults; `None` if it is not valid. Parts that fail whenever an event reaches them are
    /// faults too. In Segment's form they are warnings, because Segment accepts such a mapping.
    fn directive(
        &self,
        node: &Node<'d>,
        compiled: Result<Directive, CompileError>,
        loading: &mut Loading,
    ) -> Option<Directive> {
        let at = |error: &CompileError| node.descend(&error.path).fault_of_key(error.message.as_str());
        match compiled {
            Ok(directive) => {
                for error in directive.faults() {
                    if self.segment {
                        loading.warn(|| at(error));
                    } else {
                        loading.fault(|| at(error));
                    }
                }
                Some(directive)
            }
            Err(error) => {
                loading.fault(|| at(&error));
                None
            }
        }
    }

    /// Adds warnings for what loads but is probably a mistake, in the order of the file.
    fn warn_about_likely_mistakes(
        &self,
        slots: &[Slot],
        fields: Option<&Node<'d>>,
        trigger: Option<&Trigger>,
        loading: &mut Loading,
    ) {
        let types = trigger.map_or_else(|| spec::TYPES.to_vec(), |trigger| trigger.types(&spec::TYPES));
        if types.is_empty() {
            // Compiling the trigger reported this as a fault.
            return;
        }
        if let (Some(trigger), Some(node)) = (trigger, self.first_of(&["trigger", "subscribe"])) {
            for mismatch in trigger.paths().filter_map(|path| spec::mismatch_of_member(path, &types)) {
                loading.warn(|| node.fault(format!("trigger: {mismatch}")));
            }
        }
        let Some(fields) = fields else { return };
        for remark in lint::lint(fields.value, &types) {
            loading.warn(|| fields.descend(&remark.path).fault(remark.message));
        }
        for slot in slots {
            let Origin::Directive(Expression { directive, .. }) = &slot.origin else { continue };
            let remark = directive.literal().and_then(|literal| slot.field.literal_warning(literal));
            if let (Some(remark), Some(node)) = (remark, fields.get(&slot.field.key)) {
                loading.warn(|| node.fault(remark));
            }
        }
    }

    /// Warns if a field without a value is required. Unless the destination is strict, a missing `timestamp` is
    /// replaced by the time of receipt; no other field has a replacement.
    fn warn_if_required(&self, field: &Field, loading: &mut Loading) {
        if field.required && field.key != "timestamp" {
            let message =
                format!("{} is required, but nothing is mapped to it: every event is refused", field.key);
            loading.warn(|| self.node.fault(message));
        }
    }

    /// Warns about keys that the action does not have. Segment ignores them, so a pasted mapping must still load.
    fn check_unknown_keys(&self, fields: Option<&Node<'d>>, action: &Action, loading: &mut Loading) {
        let members = fields.into_iter().flat_map(Node::members);
        for (key, node) in
            members.filter(|(key, _)| !key.starts_with(RESERVED) && action.field(key).is_none())
        {
            let keys = action.fields.iter().map(|field| field.key.as_str());
            let message = format!("action {} has no field {key}{}", action.slug, did_you_mean(key, keys));
            if self.segment {
                loading.warn(|| node.fault_of_key(format!("{message}; it is ignored, as at Segment")));
            } else {
                loading.fault(|| node.fault_of_key(message));
            }
        }
    }
}

fn action_of(node: &Node<'_>, loading: &mut Loading) -> Option<&'static Action> {
    let slug = node.value.as_str()?;
    let action = Action::find(slug);
    if action.is_none() {
        loading.fault(|| node.fault(format!("there is no action {slug}{}", action_hint(slug))));
    }
    action
}

/// Compiles a trigger and warns where Segment would read it differently (`docs/segment.md#triggers`).
fn trigger(node: &Node<'_>, loading: &mut Loading) -> Option<Trigger> {
    let trigger = match Trigger::parse(node.value.as_str()?) {
        Ok(trigger) => trigger,
        Err(error) => {
            loading.fault(|| node.fault_inside(error.column, format!("trigger: {}", error.message)));
            return None;
        }
    };
    if let Some(reason) = trigger.impossible(&spec::TYPES) {
        loading.fault(|| node.fault(format!("trigger: {reason}")));
    }
    for difference in trigger.differences() {
        loading.warn(|| node.fault(format!("trigger, {difference}")));
    }
    Some(trigger)
}
