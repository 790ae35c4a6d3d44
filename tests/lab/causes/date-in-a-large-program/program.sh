# Prints a program with many texts and a date among them.
echo '#include <stdio.h>'
echo 'static const char *texts[] = {'
seq -f '"text number %g",' 1 4000
echo 'BUILT, '
seq -f '"another text number %g",' 1 4000
echo '0}; int main(int count, char **arguments) { (void)arguments; return puts(texts[count]); }'
