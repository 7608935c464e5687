//! Tests that formatting what came from elsewhere does not build: a pair for each kind of value. The one that must not compile
//! differs from its twin, which does, in nothing but that it formats the content (`{}`) where the twin asks for the `Debug`
//! that has none: so it can't fail for another reason.

/// Each with the type it is found in and the way to it.
macro_rules! kinds {
    ($($name:ident: $of:literal, $place:literal;)+) => {$(
        #[doc = concat!("```\nfn text(of: ", $of, ") -> String {\n    format!(\"{:?}\", ", $place, ")\n}\n```\n")]
        #[doc = concat!("```compile_fail\nfn text(of: ", $of, ") -> String {\n    format!(\"{}\", ", $place, ")\n}\n```\n")]
        mod $name {}
    )+};
}

kinds! {
    method: "&gateway::exchange::RequestHead", "of.method";
    method_as_it_came: "&gateway::message::Head", "of.method";
    method_that_was_asked_for: "&gateway::exchange::RequestHead", "of.asked_method()";
    target_as_it_came: "&gateway::message::Head", "of.target";
    target_of_http_1: "&gateway::http1::RequestHead", "of.target";
    target_in_canonical_form: "&gateway::message::normalize::Target", "of.path_and_query";
    authority_in_canonical_form: "&gateway::message::normalize::Target", "of.authority";
    authority: "&gateway::exchange::RequestHead", "of.authority";
    authority_that_was_asked_for: "&gateway::exchange::RequestHead", "of.asked_target().0";
    target_that_was_asked_for: "&gateway::exchange::RequestHead", "of.asked_target().1";
    path_and_query: "&gateway::exchange::RequestHead", "of.path_and_query";
    path: "&gateway::exchange::RequestHead", "of.path()";
    query: "&gateway::exchange::RequestHead", "of.query().unwrap()";
    fields_of_a_request: "&gateway::exchange::RequestHead", "of.headers";
    fields_of_a_response: "&gateway::exchange::ResponseHead", "of.headers";
    trailers: "&gateway::exchange::ResponseHead", "of.trailers.as_ref().unwrap()";
    name_of_a_field: "gateway::message::FieldName<'_>", "of";
    value_of_a_field: "gateway::message::FieldValue<'_>", "of";
    values_that_a_plugin_changed: "&gateway::exchange::FieldEdit", "of.sent";
    names_that_a_plugin_changed: "&gateway::exchange::FieldEdit", "of.name";
    names_that_connection_lists: "&gateway::exchange::Edits", "of.listed";
    names_that_trailers_may_not_bring: "&gateway::exchange::ResponseHead", "of.barred";
    protocol_of_connect: "&gateway::message::ConnectProtocol", "of";
    body: "&gateway::message::Body", "of";
    address_of_a_peer: "&gateway::exchange::ConnectionInfo", "of.peer";
    address_of_a_peer_as_a_value: "&gateway::exchange::ConnectionInfo", "of.peer_value";
    address_of_a_client: "&gateway::exchange::Exchange", "of.client";
    name_in_the_handshake: "&gateway::exchange::ConnectionInfo", "of.sni.as_ref().unwrap()";
    principal: "&gateway::exchange::Exchange", "of.principal().unwrap()";
    attribute: "&gateway::exchange::Exchange", "of.attribute(\"a\").unwrap()";
    name_of_an_attribute: "&gateway::exchange::Exchange", "of.attributes[0].0";
    log_field: "&gateway::exchange::Exchange", "of.log_fields[0].value.as_ref().unwrap()";
    name_of_a_log_field: "&gateway::exchange::Exchange", "of.log_fields[0].name";
    state_of_a_plugin: "&gateway::exchange::PluginScratch", "of.state";
    key_of_a_stored_response: "&gateway::exchange::StoreRequest", "of.key";
    secret: "&gateway::model::Secret", "of";
    whole_request: "&gateway::exchange::RequestHead", "of";
    whole_exchange: "&gateway::exchange::Exchange", "of";
    connection: "&gateway::exchange::ConnectionInfo", "of";
}
