chart_version = "1.13.3"
overridden    = "common"
