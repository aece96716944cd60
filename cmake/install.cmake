# What `cmake --install` puts where. Nothing in it names the place, so that the tree may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS virtio_net EXPORT virtio_net-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES include/virtio_net.h include/virtio_net_platform.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE-APACHE LICENSE-MIT DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/virtio_net)
install(EXPORT virtio_net-targets NAMESPACE virtio_net:: DESTINATION ${package})
configure_package_config_file(cmake/virtio_net-config.cmake.in virtio_net-config.cmake INSTALL_DESTINATION ${package}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 each minor version is an interface of its own.
write_basic_package_version_file(virtio_net-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/virtio_net-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/virtio_net-config-version.cmake
  DESTINATION ${package})

# The prefix as seen from the file itself, whatever the directories are called; absolute ones stay as they are.
set(pkgconfig ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH to_prefix ${pkgconfig} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
foreach(directory LIBDIR INCLUDEDIR)
  set(${directory} "\${prefix}/${CMAKE_INSTALL_${directory}}")
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${directory}}")
    set(${directory} "${CMAKE_INSTALL_${directory}}")
  endif()
endforeach()
configure_file(cmake/virtio_net.pc.in virtio_net.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/virtio_net.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
