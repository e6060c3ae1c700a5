"""The recorder: streams into files that play at every moment of their writing, cut, kept and indexed by rule.

Walking as data, the way is one way: Subscriber → `session` → `intake` (copied, placed in time, in order) →
`recorder` (which file, until when) → `segment` (one container) → `disk`. `index` and `retention` know files only.
"""
