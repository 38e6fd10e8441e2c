//! The text format of Prometheus, made from that of OpenMetrics. Two things differ: a counter is named with its
//! suffix `_total` in its comments too, and there are no infos, units and end marks.

/// The same metrics in Prometheus' text format 0.0.4.
pub(crate) fn as_prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(of_family) = line.strip_prefix("# HELP ") {
            // it is written with the type, which follows
            help = of_family.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(of_family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_family.split_once(' ').unwrap_or((of_family, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_have_their_suffix_everywhere() {
        let open_metrics = "\
# HELP build The version.
# TYPE build info
build_info{version=\"1\"} 1
# HELP sent_bytes Bytes.
# TYPE sent_bytes counter
# UNIT sent_bytes bytes
sent_bytes_total 7
# HELP turn_seconds Turns.
# TYPE turn_seconds histogram
turn_seconds_sum 0.5
turn_seconds_count 2
turn_seconds_bucket{le=\"+Inf\"} 2
# EOF
";
        let text = "\
# HELP build_info The version.
# TYPE build_info gauge
build_info{version=\"1\"} 1
# HELP sent_bytes_total Bytes.
# TYPE sent_bytes_total counter
sent_bytes_total 7
# HELP turn_seconds Turns.
# TYPE turn_seconds histogram
turn_seconds_sum 0.5
turn_seconds_count 2
turn_seconds_bucket{le=\"+Inf\"} 2
";
        assert_eq!(as_prometheus_text(open_metrics), text);
    }
}
