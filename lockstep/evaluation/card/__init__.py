"""The model card: what is known of a run, as one document that a person reads.

A card is made from a document (plain JSON) with the keys ``model``, ``card``, ``reports``, ``measured``, ``lineage``
and ``created``; `page.render` turns it into HTML. Whoever collects it knows the paths: nothing here reads a file.
"""
