"""A study as a page, for report.html and for the dashboard.

`shape` says what a page shows, as data; `payload.study_page` computes it from a study's frames and judgement; the
modules under `static/` draw it, `study.js` part by part with `showStudy(root, page)`; `assets` puts them into one file
(`report_html`) or gives them to a server (`static_files`).
"""
