/** Programs that take a script as text, on their standard input or from a file. */
export const SHELL = /^(?:ba|z|da|k|mk|a|fi|c|tc|pw)?sh$/;

/** Programs that run what another language says, which a reader of shell scripts cannot tell. */
export const INTERPRETER =
  /^(?:python[\d.]*|pypy[\d.]*|ipython|perl[\d.]*|ruby[\d.]*|node|nodejs|deno|bun|php[\d.]*|lua[\d.]*|luajit|tclsh|wish|expect|gdb|lldb|[gr]?(?:vim?|view)(?:diff)?|nvim|ex|ed|emacs|osascript|R|Rscript|julia|ghci|guile|erl|elixir|iex|psql|mysql|sqlite3|m4|bc|dc)$/;

/** Of those: the ones that run a program in a file, which is their first operand. */
export const LANGUAGE =
  /^(?:python[\d.]*|pypy[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|deno|bun|php[\d.]*|lua[\d.]*|luajit|Rscript|julia|guile)$/;

/** Options before that file which neither are code nor name more of it. */
export const SAFE_OPTION =
  /^(?:-[uBOsSIbvqdTwx]|-OO|--test|--no-warnings|--enable-source-maps|--trace-\S+|--max-\S+=\d+)$/;

/** Modules of Python that run a text given to them. */
export const RUNS_MODULE = /^(?:timeit|pdb|code|asyncio|trace|cProfile|profile|runpy|IPython|idlelib\S*)$/;

/** Programs that run what they read, or a shell. */
export const READS_SCRIPT = new Set(
  'at batch crontab parallel ssh su runuser newgrp sg script tmux screen'.split(' '),
);

/** Options behind which such a program takes code, not a file. */
export const CODE_OPTION = /^-(?:[a-zA-Z]*[cepErB]|-?(?:eval|print|command|batch|run|execute)(?:=.*)?)$/;

export const AWK = /^(?:[gmn]?awk|busybox-awk)$/;

/** Programs whose operands are another command, at some place or as one text. */
export const WRAPPERS = new Set(
  `env nohup nice ionice timeout time stdbuf setsid sudo doas su runuser pkexec command builtin exec xargs parallel
  chroot unshare nsenter taskset chrt numactl setpriv setarch linux32 linux64 flock watch script strace ltrace
  valgrind perf systemd-run unbuffer rlwrap entr ssh busybox toybox fakeroot proot bwrap firejail npx bunx pnpx
  dlx at batch tmux screen caffeinate cgexec prlimit catchsegv coproc chpst softlimit dbus-run-session xvfb-run
  direnv dotenv op aws-vault mise asdf nix nix-shell poetry uv uvx pipx pipenv conda mamba hyperfine ltrace`.split(
    /\s+/,
  ),
);

/** Of those: nothing but options, assignments and numbers stands before the command. */
export const PLAIN_WRAPPERS = new Set(
  'env nohup nice ionice timeout time stdbuf setsid sudo doas command builtin exec xargs'.split(' '),
);

/** Of those: what they read is put behind the command's words. */
export const ADDS_WORDS = new Set(['xargs', 'parallel']);

/** Programs of which no operand is ever run, so that words like those of a command are nothing but data. */
export const DATA = new Set(
  `echo printf cat ls dir vdir grep egrep fgrep head tail wc sort uniq cut tr tee mkdir rmdir rm cp mv ln touch chmod
  chown chgrp stat file du df pwd cd pushd popd dirs true false : test [ basename dirname realpath readlink date
  sleep kill pkill killall ps pgrep id whoami uname hostname which type whereis diff cmp comm paste join nl od xxd
  hexdump base64 md5sum sha1sum sha256sum sha512sum cksum seq yes jq yq curl wget gzip gunzip zcat bzip2 xz zip unzip
  export unset set shift return exit break continue wait jobs fg bg umask ulimit hash getopts read mapfile readarray
  declare typeset local readonly let shopt help history disown logout times
  git gh hub npm yarn pnpm pip pip3 cargo go tsc eslint prettier vitest jest mocha pytest ruff black mypy tree less
  more column fold fmt expand split csplit shuf tac rev strings iconv dd sync mktemp tty stty clear free uptime
  lscpu lsof ss netstat ping dig nslookup host apt apt-get dpkg brew rg fd ag`.split(/\s+/),
);

/** Builtins that evaluate texts given to them, substitutions in quotes too. */
export const EVALUATORS = new Set(
  'let declare typeset local readonly export read mapfile readarray printf test [ unset getopts wait'.split(
    ' ',
  ),
);

/** Builtins after which a word no longer tells what runs. */
export const REBINDS = new Set(['enable', 'bind', 'complete', 'compgen', 'fc', 'hash']);

/** Variables that make the shell or its programs run something or find other programs. */
export const RUNS_BY_NAME =
  /^(?:PATH|IFS|ENV|PS[0-4]|SHELLOPTS|BASHOPTS|CDPATH|LD_.*|DYLD_.*|GIT_.*|BASH_.*|EXINIT|VIMINIT|PERL5.*|PYTHON.*|NODE_OPTIONS|RUBYOPT|.*(?:COMMAND|PAGER|EDITOR|VISUAL|BROWSER|LESSOPEN|LESSCLOSE|ASKPASS|_RSH|SHELL))$/;
