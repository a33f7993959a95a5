"""The cvc5 solver as a process, over its Python bindings: reads SMT-LIB 2 commands, and writes the answers."""

import sys

import cvc5


def commands(lines):
    """Each command, from its opening to its closing parenthesis. Strings and comments can have parentheses too."""
    text, depth, quoted = "", 0, None
    for line in lines:
        for n, char in enumerate(line):
            text += char
            if quoted:
                quoted = None if char == quoted else quoted
            elif char in '"|':
                quoted = char
            elif char == ";":
                text = text[:-1] + "\n"
                break
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if depth == 0:
                    yield text
                    text = ""


def session(options):
    terms = cvc5.TermManager()
    solver = cvc5.Solver(terms)
    for name, value in options:
        solver.setOption(name, value)
    return solver, cvc5.SymbolManager(terms)


def main():
    # `--lang smt` is the only language here.
    options = [argument[2:].split("=", 1) for argument in sys.argv[1:] if "=" in argument]
    solver, symbols = session(options)
    for text in commands(sys.stdin):
        if text.strip() == "(reset)":
            # The bindings keep the logic over a reset of their own.
            solver, symbols = session(options)
            continue
        if text.strip() == "(exit)":
            break
        parser = cvc5.InputParser(solver, symbols)
        parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "stdin")
        sys.stdout.write(parser.nextCommand().invoke(solver, symbols))
        sys.stdout.flush()


main()
