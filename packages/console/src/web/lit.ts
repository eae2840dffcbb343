// The one place that names lit-html. The address is the one at which the console serves the vendored files, so the
// browser needs neither a bundler nor an import map (which the content security policy would refuse).
export { html, nothing, render, svg, type TemplateResult } from "/vendor/lit-html/lit-html.js";
export { repeat } from "/vendor/lit-html/directives/repeat.js";
