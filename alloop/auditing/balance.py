"""How the labels are spread: which are rare beside others, and which nobody uses."""

from alloop.auditing.material import Material, Section, missing, section

RARE = 10  # times rarer than the most frequent label
FEW = 5  # texts: a label with fewer cannot be in every fold


def balance(material: Material) -> Section:
    """Every label with how often it was given, the rarest first. "n" counts the labels that are rare or not used."""
    n = len(material.resolved)
    if not n:
        return missing("no text is labelled yet")
    names = material.config.task.names
    counts = material.y.sum(0).astype(int).tolist()
    most = max(counts)
    items = [
        {
            "label": name,
            "texts": count,
            "share": round(count / n, 4),
            "is_unused": count == 0,
            "is_rare": count > 0 and (count * RARE <= most or count < FEW <= most),
        }
        for name, count in sorted(zip(names, counts, strict=True), key=lambda one: (one[1], one[0]))
    ]
    found = section(items, n) | {"n": sum(bool(one["is_unused"] or one["is_rare"]) for one in items)}
    used = [count for count in counts if count]
    if material.config.task.kind == "multi":
        found["without"] = int((material.y.sum(1) == 0).sum())
    return found | {"ratio": round(most / min(used), 1) if used else None}
