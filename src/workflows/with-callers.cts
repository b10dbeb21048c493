// A caller's bundle has its own workflows and ours; the bundler knows where the caller's are. Plain JavaScript, since
// it is bundled from the sources too.
module.exports = { ...require('codex-task-callers-workflows'), ...require('./index.js') };
