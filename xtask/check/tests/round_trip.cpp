// Processes user-data as Multipass 1.16 does between `multipass launch --cloud-init` and the guest, so that a test sees
// what arrives. The client (src/client/cli/cmd/launch.cpp) parses the file and sends YAML::Dump of it; the daemon
// (src/daemon/daemon.cpp, prepare_user_data) parses that, adds its own package, and prints it with an indentation of
// two below the header (src/utils/yaml_node_utils.cpp, emit_cloud_config).
//
// Usage: round_trip launch|again DIRECTORY COUNT. Reads DIRECTORY/0 and so on; writes 0.out beside it, unless Multipass
// would refuse to launch. `again` omits what only a launch adds.

#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

namespace {

void add_what_multipass_adds(YAML::Node &user_data) {
  auto users = user_data["users"];
  if (users.IsSequence()) users.push_back("default");
  auto keys = user_data["ssh_authorized_keys"];
  if (keys.IsSequence()) keys.push_back("ssh-rsa AAAA ubuntu@localhost");
  auto packages = user_data["packages"];
  if (packages.IsSequence()) packages.push_back("pollinate");
}

std::string printed(const YAML::Node &node) {
  YAML::Emitter emitter;
  emitter.SetIndent(2);
  emitter << node;
  if (!emitter.good()) throw std::runtime_error(emitter.GetLastError());
  emitter << YAML::Newline;
  return emitter.c_str();
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const bool launch = std::string(argv[1]) == "launch";
  const int count = std::atoi(argv[3]);
  for (int at = 0; at < count; ++at) {
    const std::string path = std::string(argv[2]) + "/" + std::to_string(at);
    try {
      auto user_data = YAML::Load(YAML::Dump(YAML::LoadFile(path)));
      if (launch) add_what_multipass_adds(user_data);
      const std::string arrives = "#cloud-config\n" + printed(user_data);
      std::ofstream(path + ".out", std::ios::binary) << arrives;
    } catch (const std::exception &refused) {
      std::cerr << path << ": " << refused.what() << "\n";
    }
  }
  return 0;
}
