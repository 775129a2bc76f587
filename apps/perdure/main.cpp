// perdure: the command. `run` becomes the keeper of an instance; every other verb asks one (docs/reference/command.md).
#include "client/entry.hpp"

int main(int count, char* words[]) { return perdure::client::client_main(count, words); }
