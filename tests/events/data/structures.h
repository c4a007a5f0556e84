/*
 * The payloads of XNU's events, declared again for a C declaration parser to lay out: own
 * definitions with the members' names, no text of Apple's headers.  A structure bears the name of
 * kevmond's declaration of it.
 */
struct in_addr { uint32_t s_addr; };
struct in6_addr { union { uint8_t bytes[16]; uint32_t words[4]; } u; };
union in_addr_4_6 { struct in_addr v4; struct in6_addr v6; };
struct sockaddr_in6 {
    uint8_t len; uint8_t family; uint16_t port; uint32_t flowinfo; struct in6_addr addr; uint32_t scope;
};
struct sockaddr_dl {
    uint8_t len; uint8_t family; uint16_t index; uint8_t type; uint8_t nlen; uint8_t alen; uint8_t slen;
    char data[12];
};
struct net_event_data { uint32_t if_family; uint32_t if_unit; char if_name[16]; };
struct Ipv4Address {
    struct net_event_data link_data; struct in_addr ia_addr; uint32_t ia_net; uint32_t ia_netmask;
    uint32_t ia_subnet; uint32_t ia_subnetmask; struct in_addr ia_netbroadcast; struct in_addr ia_dstaddr;
};
struct ArpCollision {
    struct net_event_data link_data; struct in_addr ia_ipaddr; uint8_t hw_len; uint8_t hw_addr[];
};
struct PortInUse { uint16_t port; uint32_t req_pid; uint32_t reserved[2]; };
struct ProtocolChange {
    struct net_event_data link_data; uint32_t proto_family; uint32_t proto_remaining_count;
};
struct NodePresence {
    struct net_event_data link_data; struct sockaddr_in6 sin6_node_address;
    struct sockaddr_dl sdl_node_address; int32_t rssi; int link_quality_metric;
    int node_proximity_metric; uint8_t node_service_info[48];
};
struct NodeAbsence {
    struct net_event_data link_data; struct sockaddr_in6 sin6_node_address;
    struct sockaddr_dl sdl_node_address;
};
struct LinkIssues {
    struct net_event_data link_data; uint8_t modid[20]; uint64_t timestamp; uint8_t info[12];
};
struct timeval32 { int32_t sec; int32_t usec; };
struct in6_addrlifetime {
    uint32_t ia6t_expire; uint32_t ia6t_preferred; uint32_t ia6t_vltime; uint32_t ia6t_pltime;
};
struct Ipv6Address160 {
    struct net_event_data link_data; struct sockaddr_in6 ia_addr; struct sockaddr_in6 ia_net;
    struct sockaddr_in6 ia_dstaddr; struct sockaddr_in6 ia_prefixmask; uint32_t ia_plen;
    uint32_t ia6_flags; struct in6_addrlifetime ia_lifetime;
};
struct Ipv6Address {
    struct net_event_data link_data; struct sockaddr_in6 ia_addr; struct sockaddr_in6 ia_net;
    struct sockaddr_in6 ia_dstaddr; struct sockaddr_in6 ia_prefixmask; uint32_t ia_plen;
    uint32_t ia6_flags; struct in6_addrlifetime ia_lifetime; uint8_t ia_mac[6];
};
struct nd6_ra_prefix {
    struct sockaddr_in6 prefix; uint8_t raflags; uint32_t prefixlen; uint32_t origin; uint64_t vltime;
    uint64_t pltime; uint64_t expire; uint32_t flags; uint32_t refcnt; uint32_t if_index; uint32_t pad;
};
struct RouterAdvertisement {
    uint32_t mtu; uint32_t list_index; uint32_t list_length; uint32_t flags;
    struct nd6_ra_prefix prefix; uint32_t pad;
};
struct RouterAdvertisement176 {
    uint8_t lladdr[64]; uint32_t lladdrlen; uint32_t mtu; uint32_t list_index; uint32_t list_length;
    uint32_t flags; struct nd6_ra_prefix prefix; uint32_t pad;
};
struct policy_old { uint64_t eupid; int32_t epid; uint8_t euuid[16]; };
struct policy_new { uint64_t eupid; uint64_t epid; uint8_t euuid[16]; };
struct InterfaceDenied { struct policy_new ev_data; uint32_t ev_if_functional_type; };
struct InterfaceDenied40 { struct policy_old ev_data; uint32_t ev_if_functional_type; };
struct InterfaceDenied32 { struct policy_old ev_data; };
struct NetworkDenied { struct policy_new ev_data; uint32_t ev_network_type; };
struct endpoints { struct sockaddr_in6 kev_sockname; struct sockaddr_in6 kev_peername; };
struct SocketClosed { struct endpoints ev_data; };
struct storage { uint64_t words[16]; };
struct endpoints_old { struct storage kev_sockname; struct storage kev_peername; };
struct SocketClosed256 { struct endpoints_old ev_data; };
struct npi_if_info { uint32_t npi_if_family; uint32_t npi_if_subfamily; uint32_t npi_if_functional_type; };
struct WakePacket156 {
    uint8_t wake_uuid[16]; struct timeval32 wake_pkt_timestamp; uint16_t wake_pkt_if_index;
    uint16_t wake_pkt_port; uint16_t wake_pkt_flags; int32_t wake_pkt_owner_pid;
    int32_t wake_pkt_effective_pid; char wake_pkt_owner_pname[17]; char wake_pkt_effective_pname[17];
    uint8_t wake_pkt_owner_uuid[16]; uint8_t wake_pkt_effective_uuid[16]; uint16_t wake_pkt_foreign_port;
    union in_addr_4_6 wake_pkt_local_addr_; union in_addr_4_6 wake_pkt_foreign_addr_;
    char wake_pkt_ifname[16];
};
struct UnattributedWake188 {
    uint8_t una_wake_uuid[16]; struct timeval32 una_wake_pkt_timestamp; uint16_t una_wake_pkt_if_index;
    uint16_t una_wake_pkt_flags; uint16_t _una_wake_pkt_reserved; uint16_t una_wake_ptk_len;
    uint8_t una_wake_pkt[102]; uint16_t una_wake_pkt_local_port; uint16_t una_wake_pkt_foreign_port;
    union in_addr_4_6 una_wake_pkt_local_addr_; union in_addr_4_6 una_wake_pkt_foreign_addr_;
    char una_wake_pkt_ifname[16];
};
struct DirtyStatus {
    int32_t dsc_pid; char dsc_process_name[33]; uint32_t dsc_event_type; uint64_t dsc_time;
    uint64_t dsc_pages; int32_t dsc_priority;
};
struct Clat46 { uint32_t clat46_event_code; int32_t epid; uint8_t euuid[16]; };
struct ApnFallback { int32_t epid; uint8_t euuid[16]; };
struct WakePacket168 {
    uint8_t wake_uuid[16]; struct timeval32 wake_pkt_timestamp; uint16_t wake_pkt_if_index;
    uint16_t wake_pkt_port; uint16_t wake_pkt_flags; int32_t wake_pkt_owner_pid;
    int32_t wake_pkt_effective_pid; char wake_pkt_owner_pname[17]; char wake_pkt_effective_pname[17];
    uint8_t wake_pkt_owner_uuid[16]; uint8_t wake_pkt_effective_uuid[16]; uint16_t wake_pkt_foreign_port;
    union in_addr_4_6 wake_pkt_local_addr_; union in_addr_4_6 wake_pkt_foreign_addr_;
    char wake_pkt_ifname[16];
    uint32_t wake_pkt_total_len; uint32_t wake_pkt_data_len; uint16_t wake_pkt_control_flags;
};
struct WakePacket {
    uint8_t wake_uuid[16]; struct timeval32 wake_pkt_timestamp; uint16_t wake_pkt_if_index;
    uint16_t wake_pkt_port; uint16_t wake_pkt_flags; int32_t wake_pkt_owner_pid;
    int32_t wake_pkt_effective_pid; char wake_pkt_owner_pname[17]; char wake_pkt_effective_pname[17];
    uint8_t wake_pkt_owner_uuid[16]; uint8_t wake_pkt_effective_uuid[16]; uint16_t wake_pkt_foreign_port;
    union in_addr_4_6 wake_pkt_local_addr_; union in_addr_4_6 wake_pkt_foreign_addr_;
    char wake_pkt_ifname[16];
    uint32_t wake_pkt_total_len; uint32_t wake_pkt_data_len; uint16_t wake_pkt_control_flags;
    struct npi_if_info wake_pkt_if_info; char wake_pkt_phy_ifname[16];
    struct npi_if_info wake_pkt_phy_if_info;
};
struct UnattributedWake200 {
    uint8_t una_wake_uuid[16]; struct timeval32 una_wake_pkt_timestamp; uint16_t una_wake_pkt_if_index;
    uint16_t una_wake_pkt_flags; uint16_t _una_wake_pkt_reserved; uint16_t una_wake_ptk_len;
    uint8_t una_wake_pkt[102]; uint16_t una_wake_pkt_local_port; uint16_t una_wake_pkt_foreign_port;
    union in_addr_4_6 una_wake_pkt_local_addr_; union in_addr_4_6 una_wake_pkt_foreign_addr_;
    char una_wake_pkt_ifname[16];
    uint32_t una_wake_pkt_total_len; uint32_t una_wake_pkt_data_len; uint16_t una_wake_pkt_control_flags;
    uint16_t una_wake_pkt_proto;
};
struct UnattributedWake {
    uint8_t una_wake_uuid[16]; struct timeval32 una_wake_pkt_timestamp; uint16_t una_wake_pkt_if_index;
    uint16_t una_wake_pkt_flags; uint16_t _una_wake_pkt_reserved; uint16_t una_wake_ptk_len;
    uint8_t una_wake_pkt[102]; uint16_t una_wake_pkt_local_port; uint16_t una_wake_pkt_foreign_port;
    union in_addr_4_6 una_wake_pkt_local_addr_; union in_addr_4_6 una_wake_pkt_foreign_addr_;
    char una_wake_pkt_ifname[16];
    uint32_t una_wake_pkt_total_len; uint32_t una_wake_pkt_data_len; uint16_t una_wake_pkt_control_flags;
    uint16_t una_wake_pkt_proto;
    struct npi_if_info una_wake_pkt_if_info; char una_wake_pkt_phy_ifname[16];
    struct npi_if_info una_wake_pkt_phy_if_info;
};
