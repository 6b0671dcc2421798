//! Every reason: its name in the code, kind, code, title, what happened, what to do.

use super::{Entry, Kind};

macro_rules! catalogue {
    ($($name:ident: $kind:ident, $code:literal, $title:literal, $happened:literal, $to_do:literal;)*) => {
        /// Why a request, event or call did not go the usual way.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $title] $name,)*
        }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub(super) const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$name => &Entry {
                        kind: Kind::$kind, code: $code, title: $title, happened: $happened, to_do: $to_do,
                    },)*
                }
            }
        }
    };
}

catalogue! {
    DoorKey: Door, "door.key", "a wrong write key",
        "A request had no write key, or one that no source of this kind has. Nothing of it was stored.",
        "Copy the source's write_key into the sender. It may be sent as Basic user name, Bearer token, x-api-key header or in the body.";
    DoorSignature: Door, "door.signature", "a wrong signature",
        "The source has a shared_secret, and X-Signature is missing or is not the signature of this body. Nothing of it was stored.",
        "Make the webhook's shared secret and the source's shared_secret the same, and let no proxy change the body. If senders that cannot sign use this source, set unsigned = \"allow\".";
    DoorOrigin: Door, "door.origin", "a web page of another site",
        "A source without a write key accepts requests only from programs on this machine. This one came from a web page of another site or under another host name.",
        "Give the source a write_key, and let the page send it.";
    DoorRoute: Door, "door.route", "no such route",
        "The relay does not accept events at this path.",
        "Compare the path with the routes in docs/http-api.md. SDKs need only the host, not the whole path.";
    DoorMethod: Door, "door.method", "the wrong method",
        "The path exists, but needs another method.",
        "Send events by POST.";
    DoorRequest: Door, "door.request", "a malformed request",
        "The request breaks a rule of HTTP/1.1: the Host header is missing or repeated, or Transfer-Encoding is not just chunked.",
        "Fix the client or the proxy that wrote the request.";
    DoorLarge: Door, "door.large", "too large",
        "The body is larger than the limit of its route, after decompression.",
        "Send smaller batches, or raise the limit in [limits].";
    DoorMany: Door, "door.many", "too many events",
        "The body has more events than its route accepts at a time.",
        "Send fewer events at a time, or raise the limit in [limits].";
    DoorEncoding: Door, "door.encoding", "an unknown encoding",
        "The relay cannot read the Content-Encoding of the body.",
        "Send the body plain, or compressed with gzip or deflate.";
    DoorCompressed: Door, "door.compressed", "cannot be decompressed",
        "The headers say that the body is compressed, but it cannot be decompressed.",
        "Check that the sender sets Content-Encoding only if it compresses, and that no proxy cuts the body.";
    DoorTimeout: Door, "door.timeout", "did not arrive in time",
        "The body did not arrive within server.request_timeout.",
        "Nothing, if it is rare: senders try again. Otherwise look at the network between sender and relay.";
    DoorCut: Door, "door.cut", "cut off",
        "The connection ended before the body did.",
        "Nothing, if it is rare: senders try again. Otherwise look at the proxy in front of the relay.";
    DoorField: Door, "door.field", "a field is missing",
        "A form post lacks a field that its route needs.",
        "Send the field that the answer names, URL-encoded.";
    DoorBusy: Door, "door.busy", "too busy",
        "Too many requests, or too large ones, arrived at once. The sender was asked to try again.",
        "Nothing, if it is rare. Otherwise raise limits.buffered_bytes, or find the sender that sends this much.";
    DoorShare: Door, "door.share", "one sender uses too much memory",
        "One address used more than its share of the memory for request bodies. It was asked to try again.",
        "Find out what sends from this address. Behind a proxy, all senders share its address: raise limits.buffered_bytes.";
    DoorFull: Door, "door.full", "no room",
        "The waiting calls or the dead letters have reached their size limit, or the disk is nearly full. Senders were asked to try again.",
        "Find out which destination is not accepting calls, and replay or purge dead letters. Or free disk space, or raise outbox.max_bytes.";
    DoorFailed: Door, "door.failed", "storage failed",
        "The outbox could not write to the disk and is closed until the relay is restarted.",
        "Check the disk, then restart the relay. The error is in the log.";
    DoorAway: Door, "door.away", "the cluster does not answer",
        "The NATS cluster that stores the outbox did not answer in time. Senders were asked to try again.",
        "Nothing, if it lasts a few seconds: the cluster chose a new leader. Otherwise check its servers and the network.";
    DoorPanic: Door, "door.panic", "a fault in the relay",
        "The relay failed while it handled the request. Nothing of it was stored.",
        "Report it, with the log from that time.";
    Unreadable: Door, "unreadable", "not readable as JSON",
        "The body is not a JSON document of the shape that its route expects. Its first 32 KB are kept as a reject.",
        "Send one whole JSON document in UTF-8. The answer names the line and column.";

    SkipNoMapping: Skip, "skip.no_mapping", "no mapping's trigger holds for the event",
        "No mapping of the source's destinations has a trigger that holds for the event.",
        "If it should be sent, widen a trigger or add a mapping: `accoil-relay map --explain` shows why none holds.";
    SkipNoUser: Skip, "skip.no_user", "no user id",
        "The event has no user id, and its source has anonymous = \"skip\".",
        "Nothing, if it is an anonymous visitor. Set anonymous = \"reject\" to keep such events, or user_id if the id is in another property.";
    SkipSwitchedOff: Skip, "skip.switched_off", "the event's `integrations` switches this destination off",
        "The sender switched this destination off in the event's integrations.",
        "Change it at the sender, or set integration_name on the destination if the sender uses another name.";
    SkipExcluded: Skip, "skip.excluded", "excluded by the source's settings",
        "The source's events or exclude_events exclude this event type.",
        "If it should be sent, change events or exclude_events on the source.";
    SkipAlias: Skip, "skip.alias", "Accoil has no alias call",
        "The event is an alias, and Accoil has no such call.",
        "Nothing.";
    SkipPage: Skip, "skip.page", "the page or screen has no name, category or title",
        "A page or screen event has no name, category or properties.title, so its track would have no name at Accoil.",
        "Send one of them if the view should count.";
    SkipDeletion: Skip, "skip.deletion", "a deletion notice is not an event",
        "A webhook asked to delete a person. Accoil has no such call.",
        "Delete the person at Accoil.";
    SkipCohort: Skip, "skip.cohort", "a cohort webhook is not an event",
        "Amplitude posted the members of a cohort, which are not events.",
        "Use an event stream instead of a cohort sync for this address.";
    SkipNothing: Skip, "skip.nothing", "the event has nothing that Accoil stores",
        "The event has neither traits nor a group, so there is nothing to send to Accoil.",
        "Nothing.";
    Duplicate: Skip, "duplicate", "sent before",
        "An event with this id was accepted from this source before.",
        "Nothing: usually it is a sender's retry. To send it again on purpose, give it a new id.";
    Held: Skip, "held", "nothing has changed",
        "The identify or group call that this event implies has the same content as the last one delivered.",
        "Nothing.";

    LeftOut: Warning, "warn.left_out", "a field was left out",
        "An optional field has a value that Accoil does not accept. The rest of the event was sent.",
        "Fix the field at the sender. strict = true on the destination rejects such events instead.";
    TimeReplaced: Warning, "warn.time", "the time of receipt was used",
        "The timestamp is missing, cannot be read or is impossible. The time of receipt was sent instead.",
        "Send an ISO 8601 time.";
    ValueReplaced: Warning, "warn.replaced", "a value that JSON does not have was replaced",
        "A lone surrogate became U+FFFD, or NaN, an infinity or a number out of range became null.",
        "Write valid JSON at the sender.";
    FractionalCents: Warning, "warn.cents", "an amount is not a whole number of cents",
        "mrr is not a whole number of cents. It was sent unchanged; most likely it is in dollars.",
        "If senders send dollars, set mrr_unit = \"dollars\" on the destination.";
    Converted: Warning, "warn.converted", "a value was converted",
        "A field had a value in a form that Accoil does not accept; it was converted.",
        "Nothing, if the result is right.";

    RejectMissing: Reject, "reject.missing", "a required field is missing",
        "A field that Accoil requires is missing, null or empty in the event.",
        "Send the field, or change the mapping to read another one.";
    RejectType: Reject, "reject.type", "a field has the wrong form",
        "A required field has a value of the wrong kind or format.",
        "Fix the sender, or convert the value with a directive of the mapping.";
    RejectMapping: Reject, "reject.mapping", "the mapping failed",
        "A directive of the mapping could not be resolved for this event.",
        "Fix the mapping, reload it, and replay the reject.";
    RejectNoUser: Reject, "reject.no_user", "no user id",
        "The event has no user id, or a placeholder or blank text instead of one. Accoil would count all such users as one.",
        "Send the user's id. Set anonymous = \"skip\" on the source to skip such events.";
    RejectPlaceholder: Reject, "reject.placeholder", "a placeholder instead of an id",
        "A user or group id is a program's word for a missing value, such as undefined or null. Accoil would count all of them as one.",
        "Fix the sender: it writes a placeholder where it has no id.";
    RejectEventType: Reject, "reject.event_type", "an unknown type of event",
        "The event's type is missing or is not one that the relay knows.",
        "Send type as identify, track, page, screen or group in lower case; at Amplitude, event_type as text.";
    RejectGroups: Reject, "reject.groups", "no group, or too many",
        "A group identify names no group, or more groups than one event may have.",
        "Send each group as its type and name. The answer names the highest number of groups.";
    RejectLarge: Reject, "reject.large", "the event is too large",
        "One event of the batch is larger than the limit for an event.",
        "Send less in it, or raise limits.tracking_event_bytes.";
    RejectUnreadable: Reject, "reject.unreadable", "the event cannot be read",
        "One event of the body is not a JSON object, is nested too deeply, or is not UTF-8.",
        "Fix the sender. The answer names the line and column.";
    Rejected: Reject, "reject.other", "cannot be delivered",
        "The event cannot be delivered as it is.",
        "Read the reasons of the reject: `accoil-relay dead-letters show NUMBER`.";

    WaitBehind: Wait, "wait.behind", "behind another call",
        "An earlier call of the same user waits for its retry, and a user's calls are sent in order.",
        "Nothing. `accoil-relay waiting list` shows the call that it waits for.";
    WaitKey: Wait, "wait.key", "the key is refused",
        "Accoil answered 401 or 403. The queue is kept and the destination is probed twice a minute.",
        "Put the right api_key into the configuration and restart the relay.";
    WaitPlace: Wait, "wait.place", "the address is wrong or does not work",
        "The answer is about the address and not about the call: a redirect, 404, 405, 410, 421 or a web page. The queue is kept and the destination is probed.",
        "Compare base_url with Accoil's address, and find out what answers there.";
    WaitLimited: Wait, "wait.429", "Accoil asks for a pause",
        "Accoil answered 429, or asked for a pause with Retry-After.",
        "Nothing: the relay waits as long as Accoil asked. Set rate on the destination if it happens often.";
    WaitServer: Wait, "wait.5xx", "Accoil answers with an error",
        "Accoil answered with a temporary error: 408, 409, 423, 424, 425 or 5xx.",
        "Nothing: the relay retries the call.";
    WaitTimeout: Wait, "wait.timeout", "no answer in time",
        "Accoil did not answer within request_timeout.",
        "Nothing, unless it lasts: then try `accoil-relay test-connection`.";
    WaitName: Wait, "wait.dns", "the name cannot be resolved",
        "The name in base_url could not be resolved.",
        "Check base_url and the name servers of this machine.";
    WaitConnect: Wait, "wait.connect", "cannot connect",
        "The relay could not connect to Accoil.",
        "Check the network, firewall and proxy of this machine: `accoil-relay test-connection`.";
    WaitTls: Wait, "wait.tls", "TLS failed",
        "The TLS handshake failed.",
        "Check the clock and the certificates of this machine, and any proxy that decrypts TLS.";
    WaitReset: Wait, "wait.reset", "the connection broke",
        "The connection ended before the answer was complete, or the answer was not HTTP.",
        "Nothing, if it is rare.";
    WaitPaused: Wait, "wait.paused", "paused",
        "An operator paused the destination. Its calls are kept.",
        "Resume it: `accoil-relay destinations resume NAME`.";

    WaitDamaged: Wait, "wait.damaged", "damaged on the disk",
        "The bytes of a stored call, dead letter or reject changed on the disk after they were written. It is kept and never sent.",
        "Check the disk. Send the event again from its source, then purge the damaged row.";

    DeadRefused: Dead, "dead.refused", "Accoil refused the call",
        "Accoil answered that this call is wrong. The same call can never succeed.",
        "Fix the mapping or the data, then replay the dead letter.";
    DeadExhausted: Dead, "dead.exhausted", "the retries are used up",
        "The call failed for longer than deliver.retry_max_age, or more often than deliver.retry_max_attempts.",
        "Replay the dead letter when Accoil works again.";
}
