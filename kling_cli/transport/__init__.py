"""HTTP exchanges done well."""
