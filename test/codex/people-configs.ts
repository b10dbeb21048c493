/** Shapes of config.toml as people have them in their homes and repositories, written for these tests. */
export const PEOPLE_CONFIGS: Readonly<Record<string, string>> = {
  'nothing but a model': 'model = "gpt-5.5"\nmodel_reasoning_effort = "high"\n',
  'an empty file': '',
  'comments alone': '# model = "gpt-5"\n\n   # nothing is set\n',
  'Windows line ends': 'model = "gpt-5.5"\r\n[tui]\r\nnotifications = true\r\n',
  'a byte order mark': '\ufeffmodel = "gpt-5.5"\n',
  'profiles and the chosen one': `profile = "deep"
[profiles.deep]
model = "gpt-5.5"
model_reasoning_effort = "xhigh"
approval_policy = "never"
[profiles."quick one"]
model = "gpt-5.5-mini"
`,
  'full access for everything': 'approval_policy = "never"\nsandbox_mode = "danger-full-access"\n',
  'a writable sandbox with network': `sandbox_mode = "workspace-write"
[sandbox_workspace_write]
network_access = true
writable_roots = ["/Users/jo/.cache", "/tmp/build"]
exclude_tmpdir_env_var = false
`,
  'trusted projects': `[projects."/Users/jo/src/site"]
trust_level = "trusted"
[projects."C:\\\\Users\\\\Jo\\\\repo"]
trust_level = "trusted"
[projects."/home/jo/with space"]
trust_level = "untrusted"
`,
  'notify with a relative program': 'notify = ["./notify.sh", "--channel", "dev"]\n',
  'notify with python and a home path': 'notify = ["python3", "/Users/jo/.codex/notify.py"]\n',
  'an MCP server over stdio with npx': `[mcp_servers.playwright]
command = "npx"
args = ["-y", "@playwright/mcp@latest", "--headless"]
startup_timeout_sec = 30
`,
  'an MCP server with a secret in its environment': `[mcp_servers.github]
command = "docker"
args = ["run", "-i", "--rm", "-e", "GITHUB_TOKEN", "ghcr.io/github/github-mcp-server"]
[mcp_servers.github.env]
GITHUB_TOKEN = "not-a-token"
`,
  'an MCP server over HTTP with a bearer token from the environment': `[mcp_servers.linear]
url = "https://mcp.linear.app/mcp"
bearer_token_env_var = "LINEAR_TOKEN"
`,
  'an MCP server over HTTP with headers': `[mcp_servers.docs]
url = "http://127.0.0.1:9/mcp"
http_headers = { "X-Team" = "a" }
env_http_headers = { "Authorization" = "DOCS_AUTH" }
tool_timeout_sec = 20.5
`,
  'an MCP server with OAuth': `mcp_oauth_callback_port = 8123
mcp_oauth_credentials_store = "file"
[mcp_servers.figma]
url = "https://mcp.figma.com/mcp"
scopes = ["files:read"]
oauth = { client_id = "abc" }
`,
  'an MCP server that is switched off': `[mcp_servers.old]
command = "old-server"
enabled = false
`,
  'chosen tools of an MCP server, and their approvals': `[mcp_servers.db]
command = "db-mcp"
enabled_tools = ["query", "schema"]
disabled_tools = ["drop"]
default_tools_approval_mode = "approve"
[mcp_servers.db.tools.query]
approval_mode = "approve"
`,
  'an MCP server with command and url': '[mcp_servers.odd]\ncommand = "a"\nurl = "https://a.example"\n',
  'an MCP server with an old key': '[mcp_servers.legacy]\ncommand = "a"\nstartup_timeout_ms = 2000\n',
  'an MCP server with odd letters in its name': '[mcp_servers."my server"]\ncommand = "a"\n',
  'an MCP server with a working folder': '[mcp_servers.fs]\ncommand = "fs-mcp"\ncwd = "/srv/data"\n',
  'an MCP server with variables handed on': `[mcp_servers.cloud]
command = "cloud-mcp"
env_vars = ["CLOUD_PROFILE", { name = "CLOUD_KEY", source = "local" }]
`,
  'twelve MCP servers': Array.from(
    { length: 12 },
    (_, i) => `[mcp_servers.s${i}]\ncommand = "server-${i}"\nrequired = false\n`,
  ).join('\n'),
  'a provider of a local model': `model = "qwen3-coder"
model_provider = "ollama-local"
[model_providers.ollama-local]
name = "Ollama"
base_url = "http://localhost:11434/v1"
wire_api = "responses"
`,
  'a provider with an environment key': `model_provider = "router"
[model_providers.router]
name = "Router"
base_url = "https://router.example/api/v1"
env_key = "ROUTER_KEY"
env_key_instructions = "Get one at router.example"
http_headers = { "X-Title" = "codex" }
`,
  'Azure with its query': `model_provider = "azure"
[model_providers.azure]
name = "Azure"
base_url = "https://x.openai.azure.com/openai"
env_key = "AZURE_OPENAI_API_KEY"
query_params = { api-version = "2025-04-01-preview" }
wire_api = "responses"
request_max_retries = 4
stream_max_retries = 10
stream_idle_timeout_ms = 300000
`,
  'a provider whose token comes from a program': `[model_providers.corp]
name = "Corp"
base_url = "https://llm.corp.example/v1"
auth = { command = "corp-token", args = ["--print"], timeout_ms = 5000 }
`,
  'the chat wire that is gone': `[model_providers.old]
name = "Old"
base_url = "https://old.example/v1"
wire_api = "chat"
`,
  'a base URL of OpenAI': 'openai_base_url = "https://proxy.example/v1"\n',
  'hooks of a shell': `[hooks]
[[hooks.PreToolUse]]
matcher = "shell"
[[hooks.PreToolUse.hooks]]
type = "command"
command = "/usr/local/bin/check"
`,
  'a reviewer of requests': 'approvals_reviewer = "auto_review"\n[auto_review]\npolicy = "be strict"\n',
  'the environment of commands': `[shell_environment_policy]
inherit = "all"
ignore_default_excludes = true
exclude = ["AWS_*"]
set = { CI = "1" }
`,
  'features of all kinds': `[features]
unified_exec = true
shell_snapshot = true
multi_agent = true
goals = true
hooks = true
web_search_request = true
`,
  'a feature of a version to come': '[features]\nteleport = true\n',
  'agents with files of their own': `[agents]
max_threads = 4
[agents.reviewer]
description = "Reviews"
config_file = "agents/reviewer.toml"
[agents.missing]
config_file = "no/such/file.toml"
`,
  skills: '[[skills.config]]\npath = "/Users/jo/.codex/skills/x/SKILL.md"\nenabled = false\n',
  plugins: '[plugins."gmail@openai-curated"]\nenabled = true\n',
  apps: '[apps.github]\nenabled = true\n',
  telemetry: `[otel]
environment = "prod"
exporter = "none"
log_user_prompt = false
[analytics]
enabled = true
`,
  'instructions from files': `model_instructions_file = "/Users/jo/.codex/base.md"
experimental_compact_prompt_file = "compact.md"
project_doc_max_bytes = 65536
project_doc_fallback_filenames = ["CLAUDE.md", ".agents.md"]
`,
  'instructions in place': 'developer_instructions = """\nBe brief.\nNo emoji \\U0001F600.\n"""\n',
  'how a terminal looks': `file_opener = "vscode"
hide_agent_reasoning = true
show_raw_agent_reasoning = false
disable_paste_burst = true
[tui]
notifications = ["agent-turn-complete"]
theme = "dark"
status_line = ["model", "context-remaining"]
`,
  'history and notices': `[history]
persistence = "none"
max_bytes = 1000000
[notice]
hide_full_access_warning = true
[notice.model_migrations]
"gpt-5" = "gpt-5.5"
`,
  'numbers of a model': `model_context_window = 400000
model_auto_compact_token_limit = 300000
tool_output_token_limit = 12000
service_tier = "fast"
personality = "pragmatic"
model_verbosity = "low"
`,
  'a wrong type': 'model = 5\nmodel_context_window = "large"\n',
  'a value that codex does not know': 'model_reasoning_effort = "heroic"\nweb_search = "sometimes"\n',
  'keys of other tools and typing errors': 'modle = "gpt-5.5"\napproval-policy = "never"\nthemes = ["a"]\n',
  'dates, arrays of tables and dotted keys': `since = 2025-06-01
mcp_servers.dotted.command = "a"
[[todo]]
text = "x"
`,
  'where credentials lie': `cli_auth_credentials_store = "keyring"
forced_login_method = "chatgpt"
forced_chatgpt_workspace_id = "w-1"
chatgpt_base_url = "https://chatgpt.com/backend-api/"
`,
  'other places for files': 'log_dir = "/var/log/codex"\nsqlite_home = "/data/codex"\n',
  'a table that is written twice': '[tui]\ntheme = "a"\n[tui]\ntheme = "b"\n',
  'a line that is no TOML': 'model = gpt-5.5\n',
  'letters of every script':
    'model = "модель"\n[mcp_servers.s]\ncommand = "命令"\nargs = ["😀", "\\u0000"]\n',
};
