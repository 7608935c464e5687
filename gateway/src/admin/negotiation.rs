//! In which format the metrics are shown: what the client prefers by `Accept` (RFC 9110 section 12.5.1).

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' protobuf messages, each behind its length.
    Protobuf,
}

/// The first is for whoever has no preference.
const FORMATS: [Format; 3] = [Format::Text, Format::OpenMetrics, Format::Protobuf];

impl Format {
    /// What stands in `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Type, subtype, and the parameters that tell it from others of that type. Whoever names none of them means any.
    const fn media_type(self) -> (&'static str, &'static str, &'static [(&'static str, &'static str)]) {
        match self {
            Self::Text => ("text", "plain", &[("version", "0.0.4")]),
            Self::OpenMetrics => ("application", "openmetrics-text", &[("version", "1.0.0")]),
            Self::Protobuf => (
                "application",
                "vnd.google.protobuf",
                &[("proto", "io.prometheus.client.metricfamily"), ("encoding", "delimited")],
            ),
        }
    }

    /// The format of the greatest weight; of several the one that is named first. Text where the client accepts none of them:
    /// whoever asks for metrics with a browser or by hand is better served with that than with 406.
    pub(super) fn preferred<'f>(fields: impl Iterator<Item = &'f str>) -> Self {
        let ranges: Vec<Range> = fields.flat_map(|field| field.split(',')).filter_map(Range::read).collect();
        let mut best = (0, usize::MAX, Self::Text);
        for format in FORMATS {
            // What is said of it in particular counts, rather than what is said of all.
            let said = ranges.iter().enumerate().filter_map(|(place, range)| Some((range.fit(format)?, place, range)));
            let said = said.reduce(|one, other| if other.0 > one.0 { other } else { one });
            if let Some((_, place, range)) = said
                && (range.weight > best.0 || (range.weight > 0 && range.weight == best.0 && place < best.1))
            {
                best = (range.weight, place, format);
            }
        }
        best.2
    }
}

/// One item of `Accept`.
struct Range {
    kind: String,
    subtype: String,
    parameters: Vec<(String, String)>,
    /// In thousandths.
    weight: u16,
}

impl Range {
    /// Reads an item; `None` for what is none. No value that counts here has a comma or a semicolon in it, so that one in
    /// quotes makes an item that fits nothing.
    fn read(item: &str) -> Option<Self> {
        let mut parts = item.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut range = Self {
            kind: kind.trim().to_ascii_lowercase(),
            subtype: subtype.trim().to_ascii_lowercase(),
            parameters: Vec::new(),
            weight: 1000,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_ascii_lowercase());
            if name == "q" {
                range.weight = weight(&value)?;
            } else {
                range.parameters.push((name, value));
            }
        }
        Some(range)
    }

    /// How particularly it speaks of a format, if it does.
    fn fit(&self, format: Format) -> Option<usize> {
        let (kind, subtype, parameters) = format.media_type();
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", "*") => return Some(0),
            (own, "*") if own == kind => return Some(1),
            (own, sub) if own == kind && sub == subtype => {}
            _ => return None,
        }
        let mut fit = 2;
        for (name, value) in parameters {
            match self.parameters.iter().find(|(own, _)| own == name) {
                Some((_, own)) if own == value => fit += 1,
                Some(_) => return None,
                None => {}
            }
        }
        Some(fit)
    }
}

/// A weight in thousandths (RFC 9110 section 12.4.2).
fn weight(text: &str) -> Option<u16> {
    let weight: f32 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    (0.0..=1.0).contains(&weight).then(|| (weight * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_the_format_that_they_prefer() {
        use Format::*;
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text),
            (prometheus, OpenMetrics),
            (native, Protobuf),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8; q=0.6, text/plain;q=0.7", Text),
            ("application/openmetrics-text;version=2.0.0", Text),
            ("application/openmetrics-text;q=0, */*", Text),
            ("text/plain;q=0, */*;q=0.3", OpenMetrics),
            ("application/*", OpenMetrics),
            ("Application/Vnd.Google.Protobuf; Proto=io.prometheus.client.MetricFamily", Protobuf),
            ("application/vnd.google.protobuf;proto=other", Text),
            ("application/vnd.google.protobuf;encoding=text, application/openmetrics-text;q=0.1", OpenMetrics),
            ("text/plain, application/openmetrics-text", Text),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            ("application/openmetrics-text;q=2", Text),
            ("application/openmetrics-text;q=high, ;;,=,/", Text),
            ("image/png", Text),
        ] {
            assert_eq!(Format::preferred(std::iter::once(accept)), format, "{accept}");
        }
        assert_eq!(Format::preferred(["text/plain;q=0.5", "application/openmetrics-text"].into_iter()), OpenMetrics);
    }
}
