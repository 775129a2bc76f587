// A daemon whose tests run it inside the test program: everything but main() is in watering.cpp.
#include <fstream>
#include <stdexcept>

#include "watering.hpp"

int main(int argc, char** argv) {
  perdure::App app{{.name = "watering", .version = "1.0", .description = "waters the garden while the soil is dry"}};
  const auto settings = app.config<watering::Settings>();
  watering::put_together(app,
                         {.moisture =
                              [=] {
                                std::ifstream file{settings->moisture};
                                double percent = 0;
                                if (!(file >> percent)) throw std::runtime_error{"no reading from " + settings->moisture};
                                return percent;
                              },
                          .valve = [=](bool open) { std::ofstream{settings->valve} << (open ? "open\n" : "closed\n"); }});
  return app.run(argc, argv);
}
