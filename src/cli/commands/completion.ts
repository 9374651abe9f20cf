import type { Command } from "commander";
import { UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Act } from "../session.ts";

/** Every command line without operands, with the words that may follow: "endpoint" → "list get …". */
function wordsByPath(
  command: Command,
  path: readonly string[] = [],
): (readonly [string, readonly string[]])[] {
  const children = command.commands.filter((child) => child.name() !== "help");
  const options = command.options
    .map((option) => option.long)
    .filter((long) => long !== undefined && long !== null);
  const own = [...children.map((child) => child.name()), ...options, "--help"];
  return [
    [path.join(" "), own] as const,
    ...children.flatMap((child) => wordsByPath(child, [...path, child.name()])),
  ];
}

/** A completion script: words are looked up by the command path typed so far. Works in bash and, with bashcompinit, zsh. */
function script(program: Command): string {
  const globals = program.options.map((option) => option.long).join(" ");
  const cases = wordsByPath(program)
    .map(([path, words]) => `    ${JSON.stringify(path)}) words=${JSON.stringify(words.join(" "))} ;;`)
    .join("\n");
  return `# Completion of waggle. Load it with: source <(waggle completion bash)
_waggle() {
  local current=\${COMP_WORDS[COMP_CWORD]} path= word words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
      --socket | --address | --tls-* | --timeout) ((i++)) ;;
      -*) ;;
      *) path="\${path:+$path }$word" ;;
    esac
  done
  # Operands end the path: the longest known part of it counts.
  while :; do
    case $path in
${cases}
    esac
    [ -n "$words" ] && break
    path=\${path% *}
  done
  COMPREPLY=($(compgen -W "$words ${globals}" -- "$current"))
}
complete -o default -F _waggle waggle
`;
}

/** `waggle completion` */
export function addCompletionCommand(program: Command, act: Act): void {
  examples(
    program
      .command("completion")
      .argument("<shell>", "bash or zsh")
      .description("Print a completion script for a shell")
      .action(
        act(async (session, shell: string) => {
          if (shell !== "bash" && shell !== "zsh")
            throw new UsageError("there is completion for bash and zsh");
          session.print(
            `${shell === "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : ""}${script(program)}`,
          );
        }),
      ),
    ["In this shell", "source <(waggle completion bash)"],
  );
}
